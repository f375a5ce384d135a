"""Upcasts: an old shape becomes today's, in steps, and everything else is left alone."""

import re
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from swarm.eventlog.events import IssueOpened
from swarm.eventlog.fact import vocabulary
from swarm.eventlog.upcasts import TABLE, Upcast, upcast

Data = dict[str, Any]


def _one_need_became_many(data: Data) -> Data | None:
    need = data.get("needs")
    return {**data, "needs": [need]} if isinstance(need, str) else None


def _words_became_a_number(data: Data) -> Data | None:
    words = {"urgent": 1, "normal": 3}
    return {**data, "priority": words[data["priority"]]} if data.get("priority") in words else None


EXAMPLE = (
    Upcast("issue.opened", "2026-01-05", "an issue may wait for several", _one_need_became_many),
    Upcast("issue.opened", "2026-02-11", "five priorities, not two", _words_became_a_number),
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"title": "t", "needs": "a", "priority": "urgent"}, {"title": "t", "needs": ["a"], "priority": 1}),
        ({"title": "t", "needs": ["a"], "priority": "normal"}, {"title": "t", "needs": ["a"], "priority": 3}),
        ({"title": "t", "needs": "a", "priority": 2}, {"title": "t", "needs": ["a"], "priority": 2}),
    ],
)
def test_a_shape_of_any_age_becomes_todays_in_the_order_of_the_table(old: Data, new: Data) -> None:
    kept = deepcopy(old)
    found = upcast("issue.opened", old, EXAMPLE)
    assert found == new
    assert old == kept
    assert msgspec.convert(found, IssueOpened).title == "t"


def test_each_change_goes_on_with_what_the_one_before_made() -> None:
    steps = tuple(Upcast("x.y", f"2026-01-0{n}", "counted", lambda data: {"n": data["n"] + 1}) for n in (1, 2, 3))
    assert upcast("x.y", {"n": 0}, steps) == {"n": 3}


@pytest.mark.parametrize("type_", ["issue.closed", "mail.sent", "nothing.known"])
def test_another_type_is_not_touched(type_: str) -> None:
    assert upcast(type_, {"title": "t", "needs": "a"}, EXAMPLE) is None


def test_a_shape_that_no_entry_knows_is_not_touched() -> None:
    assert upcast("issue.opened", {"title": 7}, EXAMPLE) is None
    assert upcast("issue.opened", {}, EXAMPLE) is None


def test_a_change_that_works_on_its_dict_does_not_reach_the_callers() -> None:
    def drop(data: Data) -> Data:
        data.clear()
        return data

    data = {"title": "t"}
    assert upcast("issue.opened", data, (Upcast("issue.opened", "2026-01-05", "gone", drop),)) == {}
    assert data == {"title": "t"}


@pytest.mark.parametrize("table", [TABLE, EXAMPLE])
def test_every_entry_names_a_type_a_day_and_a_reason_oldest_first(table: tuple[Upcast, ...]) -> None:
    for entry in table:
        assert entry.type in vocabulary()
        assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", entry.date)
        assert entry.reason
    dates = [entry.date for entry in table]
    assert dates == sorted(dates)
