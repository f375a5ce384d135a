"""What was used, and what it cost: by agent, issue, model, role or day."""

from typing import Any

import click

from ..mailbox import views
from ..projections import costs
from . import Home, as_json, emit, say, table

GROUP = "Watch"
BY = ("agent", "issue", "model", "role", "day", "run")


@click.command()
@click.option("--by", type=click.Choice(BY), default="agent", show_default=True, help="Days are those of UTC.")
@as_json
def command(by: str, json_: bool) -> None:
    """What was used, and what it cost: by agent, issue, model, role or day.

    Where the LLM proxy accounts for a session, that counts, else what the agent says of itself. Tokens of a model whose
    price is not known are counted too; its cost is called unknown, and a sum with it in it is a lower bound.
    """
    home = Home()
    state = home.board(("costs",), whole=by == "issue")[costs.State]
    found = state.by_issue() if by == "issue" else state.by(by)
    if json_:
        rows = [{by: name, **views.total_row(total)} for name, total in found.items()]
        emit({"by": by, "rows": rows, "total": views.total_row(state.total())})
    elif not found:
        say("nothing was used yet, as far as was reported")
    else:
        rows_ = [_cells(name or "unknown", views.total_row(total)) for name, total in found.items()]
        head = (by, "cost", "calls", "tokens in", "cached", "out")
        table([*rows_, _cells("total", views.total_row(state.total()))], head)
    home.save()


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    counts = (row["calls"], row["input_tokens"], row["cached_tokens"], row["output_tokens"])
    return name, price(row), *(f"{count:,}" for count in counts)


def price(row: dict[str, Any]) -> str:
    """Dollars; at least so many, where some price is not known; `price unknown` where none is."""
    if row["cost"] is None:
        return "price unknown"
    return f"{'≥ ' if row['unpriced'] else ''}${row['cost']:.4f}"
