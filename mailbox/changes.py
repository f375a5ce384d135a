"""What changed between two moments, from their boards alone. Rule: this is pure, and it compares what is shown, not
events: what came and went in between is no change.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from ..eventlog.events import IssueAssigned, IssueOpened, RunStarted
from ..eventlog.fact import Fact
from ..eventlog.telling import one_line, short
from ..projections import Board, agents, happened, issues, mail, merges, runs
from . import views
from .letters import row

T = TypeVar("T", agents.Attempt, runs.Run)
USED = ("calls", "input_tokens", "output_tokens", "cached_tokens", "cost", "unpriced")


class Row(msgspec.Struct, frozen=True):
    """One thing on a board: how it stands, in a word or two, and what it is. `mark` makes it another even where the
    state is the same: an issue's generation, an agent's attempt.
    """

    state: str
    what: str = ""
    mark: str = ""


class Shot(msgspec.Struct, frozen=True):
    """The part of a board that is compared: section -> id -> row, and what each agent has used."""

    rows: dict[str, dict[str, Row]]
    used: dict[str, dict[str, Any]]


class Change(msgspec.Struct, frozen=True):
    """One thing that is different. `before` is empty where it was not there."""

    id: str
    before: str
    after: str
    what: str


class Changes(msgspec.Struct, frozen=True):
    """All of it, as `--json` prints it. `costs`: how much more was used, in all and `by_agent`; dollars, or None where
    no price is known.
    """

    issues: list[Change]
    attempts: list[Change]
    merges: list[Change]
    agents: list[Change]
    mail: list[Change]
    runs: list[Change]
    costs: dict[str, Any]


def shot(board: Board) -> Shot:
    """What of this board is compared with another, kept while the board itself is folded on."""
    rows = {
        "issues": {issue.id: _issue(issue) for issue in board[issues.State].known()},
        "attempts": {a.name: _attempt(a) for a in _by_age(board[agents.State].attempts.values(), IssueAssigned)},
        "merges": {f"{merge.issue}-{merge.attempt}": _merge(board, merge) for merge in board[merges.State].history()},
        "agents": {each["name"]: _agent(each) for each in views.agents_view(board)},
        "mail": {letter.id: _letter(letter) for letter in board[mail.State].sent()},
        "runs": {run.id: _run(run) for run in _by_age(board[runs.State].runs.values(), RunStarted)},
    }
    used = views.costs_view(board)
    return Shot(rows, {"": used, **used["by_agent"]})


def _by_age(things: Iterable[T], first: type[Fact]) -> list[T]:
    """Those that have begun, by such an event, oldest first: whatever the order in which the lines came."""
    return sorted((one for one in things if first in one.latest), key=lambda one: happened(one.latest, first))


def _issue(issue: issues.Issue) -> Row:
    parts = [one_line(issue.opened.title if issue.opened else "", 60)]
    parts += ["opened again"] if issue.generation != happened(issue.latest, IssueOpened) else []
    parts += [one_line(issue.reason)] if issue.reason else []
    return Row(issue.status.replace("_", " "), ": ".join(parts), issue.generation)


def _attempt(attempt: agents.Attempt) -> Row:
    ends = [fact.reason for kind in agents.ENDS if (fact := attempt.get(kind)) and hasattr(fact, "reason")]
    return Row(attempt.stage, attempt.agent + (f": {one_line(ends[0])}" if ends else ""))


def _merge(board: Board, merge: merges.Merge) -> Row:
    return Row(views.merge_status(board, merge), merge.commit[:10])


def _agent(each: Mapping[str, Any]) -> Row:
    attempt = f"{each['issue']}-{each['attempt']}" if each["issue"] else ""
    return Row(each["state"], attempt or one_line(each["note"], 80), attempt)


def _letter(letter: mail.Letter) -> Row:
    entry = row(letter)
    return Row(entry["status"], one_line(f"{entry['from']} > {', '.join(entry['to'])}: {entry['body']}", 100))


def _run(run: runs.Run) -> Row:
    if run.stopped:
        return Row("ended", f"{one_line(run.stopped.reason)}, exit code {run.stopped.code}")
    return Row("is to stop" if run.stopping else "running")


# --- two of them ----------------------------------------------------------------------------------


def changes(before: Shot, after: Shot) -> Changes:
    """What is different in the later one."""
    found = {name: list(_changed(before.rows[name], rows)) for name, rows in after.rows.items()}
    used = {name: _more(before.used.get(name), total) for name, total in sorted(after.used.items())}
    by_agent = {name: more for name, more in used.items() if name and any(more.values())}
    return Changes(**found, costs={**used[""], "by_agent": by_agent})


def _changed(before: Mapping[str, Row], after: Mapping[str, Row]) -> Iterator[Change]:
    for id_, new in after.items():
        old = before.get(id_, Row(""))
        if (old.state, old.mark) != (new.state, new.mark):
            yield Change(id_, old.state, new.state, new.what)


def _more(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    old = before or dict.fromkeys(USED, 0)
    more = {name: after[name] - old[name] for name in USED if name != "cost"}
    cost = None if after["cost"] is None else round(after["cost"] - (old["cost"] or 0), 6)
    return {name: cost if name == "cost" else more[name] for name in USED}


def words(found: Changes) -> Iterator[str]:
    """The same for people: a line for every change under the name of its section, and nothing where there is none."""
    sections = {name: getattr(found, name) for name in ("issues", "attempts", "merges", "agents", "mail", "runs")}
    for name, rows in sections.items():
        if rows:
            yield f"{name:<9} {_counts(rows)}"
            yield from _columns([(short(c.id), f"{c.before or 'new'} > {c.after}", c.what) for c in rows])
    if any(value for name, value in found.costs.items() if name != "by_agent"):
        yield f"{'costs':<9} {_used(found.costs)}"
        yield from _columns([(name, _used(more)) for name, more in found.costs["by_agent"].items()])


def _counts(rows: Iterable[Change]) -> str:
    """`2 done, 1 open`: how many have come to which state."""
    states = [change.after for change in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _used(more: Mapping[str, Any]) -> str:
    price = "price unknown" if more["cost"] is None else f"${more['cost']:.4f}"
    return f"{price}, {more['calls']} calls, {more['input_tokens']:,} tokens in, {more['output_tokens']:,} out"


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    cells = [[one_line(cell, 160) for cell in cells] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for each in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
