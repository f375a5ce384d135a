"""Who lands next, how many together, and who with whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.actors import queue
from swarm.actors.queue import Entry
from swarm.eventlog.events import BatchDissolved, BatchFormed, BatchStacked, LandingHeld, MergePredicted
from swarm.projections import batches

from given import History as Told
from given import id_of
from history import History, commit


def entry(name: str, second: int = 0, priority: int = 3, files: str | None = None, alone: bool = False) -> Entry:
    """Queued in that second; `files` are letters, None: its own alone."""
    touched = frozenset({name} if files is None else files)
    return Entry(name, 1, name, id_of(second), priority, touched, alone)


def names(found: list[Entry]) -> str:
    return "".join(each.issue for each in found)


# --- the order ---


def test_the_most_urgent_comes_first_then_whoever_was_queued_first() -> None:
    found = [entry("c", 3), entry("a", 2, priority=4), entry("b", 1), entry("u", 9, priority=1)]
    assert names(queue.ordered(found, 0.0)) == "ubca"


def test_who_has_waited_long_enough_comes_before_who_is_more_urgent() -> None:
    old = entry("o", 0, priority=3)
    assert names(queue.ordered([entry("n", 599, priority=2), old], 600.0)) == "no"
    assert names(queue.ordered([entry("n", 601, priority=2), old], 600.0)) == "on"
    assert names(queue.ordered([entry("n", 99_999, priority=2), old], 0.0)) == "no"


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5)), max_size=12), st.integers(1, 900))
def test_nobody_is_passed_by_who_came_much_later(given_: list[tuple[int, int]], ageing: int) -> None:
    found = [entry(chr(97 + n), second, priority) for n, (second, priority) in enumerate(given_)]
    order = queue.ordered(found, float(ageing))
    seconds = {each.issue: second for each, (second, _) in zip(found, given_, strict=True)}
    for place, one in enumerate(order):
        assert all(seconds[other.issue] - seconds[one.issue] <= 4 * ageing for other in order[:place])


# --- who with whom ---


def test_those_that_touch_one_file_are_not_chosen_together() -> None:
    found = [entry("a", files="xy"), entry("b", files="yz"), entry("c", files="z"), entry("d", files="w")]
    assert names(queue.choose(found, 8)) == "acd"
    assert names(queue.choose(found, 2)) == "ac"


def test_what_may_touch_anything_or_is_expected_to_conflict_is_taken_alone_in_its_turn() -> None:
    anything = Entry("x", 1, "x", id_of(0))
    assert names(queue.choose([anything, entry("a")], 8)) == "x"
    assert names(queue.choose([entry("a"), anything, entry("b")], 8)) == "ab"
    assert names(queue.choose([entry("c", alone=True), entry("a")], 8)) == "c"
    assert names(queue.choose([entry("a"), entry("c", alone=True), entry("b")], 8)) == "ab"
    assert queue.choose([], 8) == []


@given(st.lists(st.text("wxyz", max_size=3), min_size=1, max_size=10), st.integers(1, 6))
def test_whoever_comes_first_is_always_taken(files: list[str], size: int) -> None:
    found = [entry(chr(97 + n), n, files=touched) for n, touched in enumerate(files)]
    chosen = queue.choose(found, size)
    assert chosen[0] == found[0]
    assert len(chosen) <= size
    assert all(queue.apart(one, other) for one in chosen for other in chosen if one is not other)


def test_the_board_says_who_waits_and_what_is_known_of_it(h: History) -> None:
    for issue in ("b", "c", "d"):
        h.issue(issue, priority=2)
    h.to("queued", "a")
    h.to("secured", "b", files=[f"f{n}" for n in range(queue.LISTED)])
    h.to("queued", "b")
    h.to("queued", "c")
    h.to("formed", "d")
    h.add(MergePredicted(1, commit("c-1"), "0", ["x"]), "c")
    settings = h.events[0].data
    found = {each.issue: each for each in queue.entries(h.board(), settings, h.now)}
    assert [*found] == ["b", "c", "a"]
    assert (found["a"].files, found["b"].files) == (frozenset({"a.py"}), None)
    assert [found[name].alone for name in "abc"] == [False, False, True]
    h.add(LandingHeld(1, "main", commit("m"), "in the way", "git stash"), "a")
    assert queue.entries(h.board(), settings, h.now)[-1].alone


# --- how many ---


def recent(*ends: tuple[int, str, str]) -> list[batches.Batch]:
    """Batches of so many members that `landed`, `failed`, or ended otherwise; and of which they are a part."""
    told = Told()
    for number, (size, end, of) in enumerate(ends):
        name = f"b-{number}"
        told.said(BatchFormed([(f"i{n}", 1) for n in range(size)], of=of), name)
        told.said(BatchStacked("main", "base", f"c{number}", "t"), name)
        tip = f"c{number}" if end == "landed" else ""
        told.said(BatchDissolved(end, tip, failed=end == "failed"), name)
    return told.board[batches.State].recent()


@pytest.mark.parametrize(
    ("ends", "size"),
    [
        ([], 8),
        ([(1, "landed", "")], 8),
        ([(8, "failed", "")], 4),
        ([(8, "failed", ""), (4, "landed", "b-0")], 4),
        ([(8, "failed", ""), (4, "landed", "")], 8),
        ([(8, "failed", ""), (4, "failed", ""), (2, "failed", ""), (1, "failed", "")], 1),
        ([(1, "failed", ""), (1, "landed", ""), (2, "landed", "")], 4),
        ([(5, "failed", ""), (3, "the target moved", "")], 2),
    ],
)
def test_a_failure_halves_and_a_landing_doubles(ends: list[tuple[int, str, str]], size: int) -> None:
    assert queue.size(recent(*ends), 8) == size


# --- names ---


def test_the_name_of_a_batch_says_who_is_in_it_on_what_and_when() -> None:
    one = [("a", 1, "c1"), ("b", 1, "c2")]
    same = queue.named(one, "", "", "s")
    assert same == queue.named(one, "", "", "s")
    others = {
        queue.named(one[::-1], "", "", "s"),
        queue.named(one, "x", "", "s"),
        queue.named(one, "", "x", "s"),
        queue.named(one, "", "", "t"),
    }
    assert len(others | {same}) == 5
    assert len(same) == 14
