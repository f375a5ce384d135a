"""`swarm costs`: by every axis, a total, and no price where none is known."""

from datetime import UTC, datetime
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import IssueAssigned, UsageReported


@pytest.fixture
def used(home: Home) -> None:
    """Two agents, one of them with a model of no known price, too."""
    for issue, agent, role in (("sw-a", "kim", "builder"), ("sw-b", "lee", "scout")):
        home.append("coordinator", [(issue, IssueAssigned(1, "g", agent, role, "pi"))])
    for issue, model, cost in (("sw-a", "kimi", 1.25), ("sw-a", "new", None), ("sw-b", "kimi", 0.5)):
        report: dict[str, Any] = {"calls": 2, "input_tokens": 1000, "output_tokens": 10, "cost": cost}
        home.append(f"session/{issue}-1", [(issue, UsageReported(f"{issue}-1", 1, model, "runtime", **report))])


@pytest.mark.usefixtures("used")
def test_it_is_a_table_with_a_total_in_which_a_price_that_is_not_known_is_never_nothing(swarm: Any) -> None:
    lines = swarm("costs").out.splitlines()
    assert [line.split() for line in lines] == [
        ["agent", "cost", "calls", "tokens", "in", "cached", "out"],
        ["kim", "≥", "$1.2500", "4", "2,000", "0", "20"],
        ["lee", "$0.5000", "2", "1,000", "0", "10"],
        ["total", "≥", "$1.7500", "6", "3,000", "0", "30"],
    ]
    models = swarm("costs", "--by", "model").out
    assert "price unknown" in models
    assert "$0.00" not in models


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("agent", ["kim", "lee"]),
        ("issue", ["sw-a", "sw-b"]),
        ("model", ["kimi", "new"]),
        ("role", ["builder", "scout"]),
        ("day", [datetime.now(UTC).strftime("%Y-%m-%d")]),
    ],
)
def test_it_is_summed_by_each_axis(swarm: Any, by: str, names: list[str]) -> None:
    found = swarm("costs", "--by", by, "--json").json
    assert [row[by] for row in found["rows"]] == names
    assert sum(row["cost"] or 0 for row in found["rows"]) == found["total"]["cost"] == 1.75
    assert found["total"]["unpriced"] == 1
    assert all(name in swarm("costs", "--by", by).out for name in names)


def test_nothing_used_is_said_so(swarm: Any) -> None:
    assert "nothing was used" in swarm("costs").out
    assert swarm("costs", "--json").json["rows"] == []
