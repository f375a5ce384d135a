"""Ledger: one fold, read to the end before every answer; a decision is appended only while it is due."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.actors.command import Command, Decide, Said, Step
from swarm.actors.ledger import Ledger, Whole
from swarm.eventlog.events import IssueClosed, IssueOpened
from swarm.eventlog.fact import Event
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.ids import DAY
from swarm.eventlog.tail import Tail, read_all
from swarm.projections import Board, issues
from swarm.world.store import Stale

from history import BEGIN


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[list[Log]]:
    """Two writers of one node."""
    made = [Log(str(tmp_path), "n1", lambda: BEGIN, lambda seed=seed: seed) for seed in (1, 2)]  # type: ignore[misc]
    yield made
    for log in made:
        log.close()


def ledger(log: Log, folder: Path) -> Ledger:
    return Ledger(log, Whole(Tail(str(folder))), "run-1", lambda: BEGIN + 5)


class Doubtful(Whole):
    """A fold whose board may be found stale."""

    def anew(self) -> None:
        """From the files."""
        self.board = Board().fold(read_all(self.folder))

    def __init__(self, tail: Tail, folder: str) -> None:
        super().__init__(tail)
        self.folder = folder


class StaleBoard(Board):
    """What rests is not what it was."""

    def fold(self, events: Iterable[Event[Any]]) -> Board:
        """Needs what rests."""
        raise Stale("changed")


def close_all(board: Board, _now: float) -> list[Command]:
    """An actor that closes every issue."""
    live = sorted(board[issues.State].live.values(), key=lambda issue: issue.id)
    closings: list[Command] = [Decide(i.id, IssueClosed(i.generation), i.generation) for i in live]
    return [Step("a", 1), *closings]


def test_a_question_is_answered_with_what_others_wrote(logs: list[Log], tmp_path: Path) -> None:
    mine = ledger(logs[0], tmp_path)
    logs[1].append([Draft(IssueOpened("x"), "human", "a")])
    assert mine.ask(lambda board, now: (list(board[issues.State].live), now)) == (["a"], BEGIN + 5)


def test_what_is_said_has_its_author_its_cause_and_its_run(logs: list[Log], tmp_path: Path) -> None:
    mine = ledger(logs[0], tmp_path)
    mine.say("builder", [Said("a", IssueOpened("x"), "cause-1"), Said("b", IssueOpened("y"))])
    found = read_all(str(tmp_path))
    assert [(e.source, e.subject, e.causationid, e.correlationid) for e in found] == [
        ("builder", "a", "cause-1", "run-1"),
        ("builder", "b", "", "run-1"),
    ]
    mine.say("builder", [])
    assert len(read_all(str(tmp_path))) == 2


def test_decisions_alone_are_appended_with_what_they_were_derived_from(logs: list[Log], tmp_path: Path) -> None:
    (opened,) = logs[1].append([Draft(IssueOpened("x"), "human", "a")])
    mine = ledger(logs[0], tmp_path)
    assert mine.decide("coordinator", close_all) == 1
    closed = read_all(str(tmp_path))[-1]
    assert (closed.type, closed.seen, closed.now) == ("issue.closed", {"n1": opened.id}, BEGIN + 5)
    assert (closed.source, closed.causationid, closed.correlationid) == ("coordinator", opened.id, "run-1")
    assert mine.decide("coordinator", close_all) == 0


def test_two_that_decide_at_once_decide_once(logs: list[Log], tmp_path: Path) -> None:
    logs[0].append([Draft(IssueOpened("x"), "human", f"i{n}") for n in range(20)])
    both = [ledger(log, tmp_path) for log in logs]
    gate = threading.Barrier(2)

    def decide(one: Ledger) -> None:
        gate.wait()
        one.decide("coordinator", close_all)

    threads = [threading.Thread(target=decide, args=[one]) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closed = [e.subject for e in read_all(str(tmp_path)) if e.type == "issue.closed"]
    assert sorted(closed) == sorted(f"i{n}" for n in range(20))


def test_nobody_writes_between_the_question_and_the_decision(logs: list[Log], tmp_path: Path) -> None:
    logs[1].append([Draft(IssueOpened("x"), "human", "a")])
    mine = ledger(logs[0], tmp_path)
    other = threading.Thread(target=logs[1].append, args=[[Draft(IssueOpened("y"), "human", "b")]])
    waited: list[bool] = []

    def slow(board: Board, now: float) -> list[Command]:
        other.start()
        other.join(timeout=0.2)
        waited.append(other.is_alive())
        return close_all(board, now)

    mine.decide("coordinator", slow)
    other.join()
    assert waited == [True]
    assert [event.type for event in read_all(str(tmp_path))] == ["issue.opened", "issue.closed", "issue.opened"]


def test_listeners_hear_every_event_once_in_order(logs: list[Log], tmp_path: Path) -> None:
    mine = ledger(logs[0], tmp_path)
    heard: list[str] = []
    mine.listeners.append(lambda event: heard.append(event.id))
    mine.say("builder", [Said("a", IssueOpened("x")), Said("b", IssueOpened("y"))])
    mine.decide("coordinator", close_all)
    mine.catch_up()
    mine.catch_up()
    assert heard == [event.id for event in read_all(str(tmp_path))]


def test_listeners_hear_what_came_in_many_batches_with_the_board_up_to_date(logs: list[Log], tmp_path: Path) -> None:
    mine = ledger(logs[0], tmp_path)
    unknown: list[str] = []
    heard: list[str] = []

    def listen(event: Event[Any]) -> None:
        heard.append(event.id)
        if event.id > board.newest:
            unknown.append(event.id)

    board = mine.ask(lambda board, _: board)
    mine.listeners.append(listen)
    logs[1].append([Draft(IssueOpened("x" * 1000), "human", f"i{n}") for n in range(300)])
    mine.catch_up()
    assert heard == [event.id for event in read_all(str(tmp_path))]
    assert unknown == []


def test_what_is_stale_is_folded_anew_and_heard_all_the_same(logs: list[Log], tmp_path: Path) -> None:
    fold = Doubtful(Tail(str(tmp_path)), str(tmp_path))
    mine = Ledger(logs[0], fold, "run-1", lambda: BEGIN + 5)
    heard: list[str] = []
    mine.listeners.append(lambda event: heard.append(event.subject))
    logs[1].append([Draft(IssueOpened("x"), "human", "a")])
    fold.board = StaleBoard()
    assert mine.ask(lambda board, _: list(board[issues.State].live)) == ["a"]
    assert heard == ["a"]


def ahead(folder: Path, node: str, seconds: float) -> Event[Any]:
    """What a node says whose clock is so far ahead."""
    log = Log(str(folder), node, lambda: BEGIN + seconds, lambda: 3)
    (event,) = log.append([Draft(IssueOpened("x"), "human", "a")])
    log.close()
    return event


def test_an_id_too_far_ahead_does_not_hide_those_that_come_with_it(logs: list[Log], tmp_path: Path) -> None:
    mine = ledger(logs[0], tmp_path)
    good, far = ahead(tmp_path, "n2", 3600), ahead(tmp_path, "n2", 30 * DAY)
    mine.catch_up()
    (written,) = logs[0].append([Draft(IssueOpened("z"), "human", "c")])
    assert good.id < written.id < far.id


def test_an_id_too_far_ahead_does_not_hide_other_nodes_in_what_was_folded_before(
    logs: list[Log], tmp_path: Path
) -> None:
    good, far = ahead(tmp_path, "n2", 3600), ahead(tmp_path, "n3", 30 * DAY)
    fold = Whole(Tail(str(tmp_path)))
    fold.board.fold(fold.tail.read())
    Ledger(logs[0], fold, "run-1", lambda: BEGIN + 5)
    (written,) = logs[0].append([Draft(IssueOpened("z"), "human", "c")])
    assert good.id < written.id < far.id


def test_what_is_written_sorts_after_what_was_read_even_from_a_clock_ahead(logs: list[Log], tmp_path: Path) -> None:
    other = Log(str(tmp_path), "n2", lambda: BEGIN + 3600, lambda: 3)
    (ahead,) = other.append([Draft(IssueOpened("x"), "human", "a")])
    other.close()
    mine = ledger(logs[0], tmp_path)
    mine.decide("coordinator", close_all)
    assert read_all(str(tmp_path))[-1].type == "issue.closed"
    assert read_all(str(tmp_path))[-1].id > ahead.id
