"""What rests leaves memory, and nobody can tell: a board that forgets shows what one shows that never does.

The archive here is a dict; the real one (world/checkpoints.py) has a test of its own.
"""

import random
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm import projections
from swarm.actors.budgets import Book
from swarm.eventlog.events import (
    BatchDissolved,
    BatchFormed,
    GateFlaked,
    IssueClosed,
    IssueOpened,
    IssueReopened,
    Limit,
    MailAcked,
    MailSent,
    UsageReported,
)
from swarm.eventlog.fact import Event, vocabulary
from swarm.mailbox import screen
from swarm.projections import Board, Snapshot, batches, issues, key_of, mail, names

import given as told
from arbitrary import SEEDS, Lives, everything, histories, shuffled, visible
from soak import amount

EXAMPLES = settings(max_examples=amount(ci=150, full=5000), deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Shelf:
    """An archive. It has what was put there, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.events: dict[str, Event[Any]] = {}
        self.index: set[str] = set()
        self.asked: list[str] = []

    def put(self, events: Iterable[Event[Any]], index: set[str]) -> None:
        self.events |= {event.id: event for event in events}
        self.index |= index

    def recall(self, key: str) -> list[Event[Any]]:
        self.asked.append(key)
        return [event for event in self.events.values() if key_of(event) == key]

    def between(self, first: str, last: str) -> list[str]:
        return sorted(entry for entry in self.index if first <= entry < last)

    def ending(self, end: str) -> list[str]:
        return sorted(entry for entry in self.index if entry.endswith(end))


class Forgetful:
    """A board with its shelf, that forgets all it can when told so."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.board = Board(archive=self.shelf)
        self.folded: list[Event[Any]] = []

    def fold(self, events: list[Event[Any]]) -> None:
        self.board.fold(events)
        self.folded += events

    def forget(self) -> None:
        self.shelf.put(self.folded, self.board.turn())
        self.board.retire()
        self.board.retire()

    def begin_anew(self, only: Iterable[str] = ()) -> None:
        """As another process does: from a snapshot."""
        self.shelf.put(self.folded, self.board.turn())
        self.board = Board(only, archive=self.shelf).restore(self.board.snapshot())

    def remember(self) -> Board:
        """All of it in memory."""
        for key in {key_of(event) for event in self.folded}:
            self.board.recall(key)
        return self.board


@pytest.fixture(autouse=True)
def few_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The histories are short: what is recent must be less."""
    for name in ("issues", "merges", "mail", "batches"):
        monkeypatch.setattr(import_module(f"swarm.projections.{name}"), "RECENT", 1)


def states(board: Board) -> Any:
    """All of every state; of an archive, and of sums that came to nothing, nothing is seen."""
    found = [board[import_module(f"swarm.projections.{name}").State] for name in names()]
    assert all(not any(state.sums.values()) for state in found)
    return [[entry for entry in everything(state) if entry[0] not in ("archive", "recall", "sums")] for state in found]


def shown(board: Board) -> Any:
    """What people and actors see, without the lists that are of what is in memory."""
    views = visible(board)
    return views[0][0], views[0][2], views[1][0], views[1][2], *views[3:6], board[mail.State].number(), board.newest


@pytest.mark.parametrize("name", names())
def test_a_state_holds_nothing_but_events_and_these_give_it_back(name: str) -> None:
    projection = import_module(f"swarm.projections.{name}")

    @EXAMPLES
    @given(histories(list(projection.ON)))
    def given_back(events: list[Event[Any]]) -> None:
        board = Board((name,)).fold(events)
        state = board[projection.State]
        held = {event.id: event for key in {key_of(event) for event in events} for event in state.about(key)}
        held |= {event.id: event for event in state.events()}
        again = Board((name,)).fold(held.values())[projection.State]
        assert everything(again) == everything(state)

    given_back()


def check(portions: list[list[Event[Any]]], chance: random.Random) -> None:
    """Whatever is forgotten and recalled when, it shows at every moment."""
    wanted, some = Board(), Forgetful()
    for portion in portions:
        wanted.fold(portion)
        some.fold(portion)
        if chance.random() < 0.6:
            some.forget()
        elif chance.random() < 0.5:
            some.board.retire()
        if chance.random() < 0.3:
            some.begin_anew()
        if chance.random() < 0.3:
            some.board.recall(key_of(chance.choice(some.folded)))
        assert shown(some.board) == shown(wanted)
    assert states(some.remember()) == states(wanted)


@EXAMPLES
@given(histories(list(vocabulary().values())), SEEDS)
def test_what_was_forgotten_when_changes_nothing_whatever_happened(events: list[Event[Any]], seed: int) -> None:
    check([portion for portion in shuffled(events, seed) if portion], random.Random(seed))


@pytest.mark.parametrize("seed", range(amount(ci=60, full=2000)))
def test_what_was_forgotten_when_changes_nothing_in_the_life_of_a_swarm(seed: int) -> None:
    check([portion for portion in Lives(seed).portions() if portion], random.Random(seed))


@EXAMPLES
@given(histories(list(vocabulary().values())), SEEDS, st.sampled_from(names()))
def test_a_snapshot_of_everything_serves_one_projection_too(events: list[Event[Any]], seed: int, name: str) -> None:
    first, second = events[: len(events) // 2], events[len(events) // 2 :]
    some = Forgetful()
    some.fold(first)
    some.forget()
    some.begin_anew((name,))
    some.fold(second)
    state = import_module(f"swarm.projections.{name}").State
    assert everything(Board((name,)).fold(events)[state].busy()) == everything(some.remember()[state].busy())


# --- what that means ------------------------------------------------------------------------------


def done(count: int) -> told.History:
    """A history of so many issues, each done, each with a letter that was read and with a cost."""
    history = told.History()
    for number in range(count):
        name = f"sw-{number}"
        opened = history.said(IssueOpened(title=f"issue {number}", body="x"), name)
        use = UsageReported(session=f"{name}-1", attempt=1, model="m", origin="runtime", calls=1, cost=0.1)
        history.said(use, name, f"session/{name}-1")
        letter = history.said(MailSent(to=["human"], body="hello"), name, "coordinator")
        history.said(MailAcked(letter=letter, reader="human"), letter)
        history.said(IssueClosed(generation=opened), name)
    return history


@pytest.fixture
def history() -> told.History:
    return done(40)


@pytest.fixture
def some(history: told.History) -> Forgetful:
    found = Forgetful()
    found.fold(history.events)
    found.forget()
    return found


def test_what_rests_leaves_memory_and_still_counts(some: Forgetful, history: told.History) -> None:
    assert len(some.board[issues.State].all) == 1
    assert shown(some.board) == shown(history.board)
    assert some.board[issues.State].counts()[issues.DONE] == 40


def test_the_flakes_of_a_batch_that_left_memory_still_count() -> None:
    history, some = told.History(), Forgetful()
    for name in ("b-1", "b-2", "b-3"):
        history.all((BatchFormed([("sw-a", 1)]), GateFlaked("unit", "make test", "tree"), BatchDissolved("no")), name)
    some.fold(history.events)
    some.forget()
    assert [*some.board[batches.State].all] == ["b-3"]
    some.begin_anew()
    assert some.board[batches.State].flakes() == {"make test": 3}


def test_a_budget_of_an_issue_that_left_memory_shows_what_was_used(some: Forgetful) -> None:
    (line,) = Book(some.board, [Limit("issue:sw-7", usd=1.0)], "", 0.0).lines()
    assert (line.subject, line.spent) == ("issue:sw-7", 0.1)


def test_a_snapshot_is_small_however_long_the_log(some: Forgetful) -> None:
    small, large = some.board.snapshot(), Forgetful()
    large.fold(done(400).events)
    large.forget()
    assert len(large.board.snapshot().events) == len(small.events) < 20


def test_a_late_event_brings_back_what_it_is_about(some: Forgetful, history: told.History) -> None:
    history.said(IssueReopened(), "sw-7")
    some.shelf.asked.clear()
    some.fold(history.events[-1:])
    assert some.shelf.asked == ["sw-7"], "and nothing else is looked up"
    assert [issue.id for issue in some.board[issues.State].ready()] == ["sw-7"]
    assert shown(some.board) == shown(history.board)


def test_a_copy_of_an_old_event_changes_nothing(some: Forgetful, history: told.History) -> None:
    before = shown(some.board)
    some.fold(history.events[10:15])
    assert shown(some.board) == before


def test_what_is_not_in_the_archive_is_asked_for_once(some: Forgetful, history: told.History) -> None:
    some.shelf.asked.clear()
    for number in range(3):
        history.said(IssueOpened(title="new", body=str(number)), "sw-new")
    some.fold(history.events[-3:])
    assert some.shelf.asked == ["sw-new"]


def test_an_issue_waits_for_what_is_not_done_and_not_for_what_is_forgotten(
    some: Forgetful, history: told.History
) -> None:
    history.said(IssueOpened(title="new", body="x", needs=["sw-3", "sw-none"]), "sw-new")
    some.fold(history.events[-1:])
    state = some.board[issues.State]
    assert state.waiting(state.all["sw-new"]) == ["sw-none"]
    some.forget()
    assert "sw-3" in state.all, "an issue that waits for it keeps it in memory"


def test_a_forgotten_issue_and_a_forgotten_letter_are_found_by_a_part_of_their_ids(
    some: Forgetful, history: told.History
) -> None:
    found = issues.find(some.board[issues.State], "17")
    assert (found.id, found.status) == ("sw-17", issues.DONE)
    letter = next(event.id for event in history.events if isinstance(event.data, MailSent))
    for part in (letter[:30], letter[-11:]):
        some.forget()
        assert mail.find(some.board[mail.State], part) == mail.find(history.board[mail.State], part)


def test_a_board_can_be_asked_while_what_it_needs_is_recalled(some: Forgetful, history: told.History) -> None:
    for number in range(3):
        history.said(IssueOpened(title="new", body="x", needs=[f"sw-{number + 5}"]), f"sw-new{number}")
    some.fold(history.events[-3:])
    assert [issue.id for issue in some.board[issues.State].ready()] == ["sw-new0", "sw-new1", "sw-new2"]


def test_the_screen_is_the_same_with_as_much_in_memory_as_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("issues", "merges", "mail", "batches"):
        monkeypatch.setattr(import_module(f"swarm.projections.{name}"), "RECENT", projections.RECENT)
    some, history = Forgetful(), done(60)
    some.fold(history.events)
    some.forget()
    assert len(some.board[issues.State].all) == projections.RECENT
    assert screen.screen(some.board, "head") == screen.screen(history.board, "head")


def test_without_an_archive_nothing_is_forgotten(history: told.History) -> None:
    board = Board().fold(history.events)
    board.turn()
    board.retire()
    board.retire()
    assert len(board[issues.State].all) == 40


def test_a_snapshot_can_be_written_down() -> None:
    assert set(Snapshot.__struct_fields__) == {"newest", "keys", "sums", "events"}
