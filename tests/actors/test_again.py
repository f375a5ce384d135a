"""Deciding again: today's actors agree with what they decided in any run, and the first difference is told."""

from collections.abc import Iterator, Mapping
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.actors import coordinator
from swarm.actors.again import DECIDERS, Verdict, decide_again
from swarm.actors.command import Command, Decide, Step
from swarm.actors.system import ACTORS
from swarm.eventlog.events import IssueClosed, IssueOpened, MailSent, RunStarted, RunStopped
from swarm.eventlog.fact import Event
from swarm.eventlog.lines import Bad
from swarm.eventlog.tail import read_all
from swarm.projections import Board, issues

from driver import WORKS, driver
from history import BEGIN, History

TORN = Bad(0, 9, "torn")


def read(nodes: Mapping[str, list[Event[Any] | Bad]], after: str = "", actors: Any = DECIDERS) -> Verdict:
    """Ask again in a log of these nodes."""
    return decide_again(sorted(nodes), lambda node: iter(nodes.get(node, [])), after, actors)


def actor(name: str, due: Any) -> Any:
    """An actor of tomorrow's code."""
    return {name: SimpleNamespace(NAME=name, due=due)}


def close_all(board: Board, _now: float) -> list[Command]:
    """Every open issue is closed."""
    live = sorted(board[issues.State].live.values(), key=lambda issue: issue.id)
    return [Step("a", 1), *(Decide(i.id, IssueClosed(i.generation), i.generation) for i in live)]


class Node(History):
    """A node's file, and what it had seen of others."""

    def __init__(self, name: str, start: float = BEGIN) -> None:
        super().__init__()
        self.name, self.now = name, start

    def decide(self, actors: Any = None, seen: Mapping[str, str] | None = None, source: str = "closer") -> list[str]:
        """What that actor decides on its own file; `seen` of the others."""
        due = (actors or CLOSER)[source].due(self.board(), self.now)
        return [self.decided(c, seen or {}, source) for c in due if isinstance(c, Decide)]

    def decided(self, choice: Decide, seen: Mapping[str, str], source: str = "closer", now: float = 7.0) -> str:
        """This decision, recorded after the last event that was none of its batch."""
        before = [e for e in self.events if not (e.seen and e.now == now)]
        id_ = self.add(choice.fact, choice.subject, source, choice.cause)
        everything = {**seen, self.name: before[-1].id}
        self.events[-1] = msgspec.structs.replace(self.events[-1], seen=everything, now=now)
        return id_


CLOSER = actor("closer", close_all)


@pytest.fixture
def two_closed() -> Node:
    """Two issues, closed at once."""
    node = Node("n1")
    node.issue("a")
    node.issue("b")
    node.decide()
    return node


def followed_by(node: Node, fact: Any) -> Event[Any]:
    """What comes after all that the node has."""
    node.add(fact, "run-1", "system")
    return node.events.pop()


def log(*nodes: Node) -> dict[str, list[Event[Any] | Bad]]:
    return {node.name: list(node.events) for node in nodes}


# --- what agrees ----------------------------------------------------------------------------------


def test_all_actors_of_the_system_are_asked() -> None:
    assert list(DECIDERS.values()) == list(ACTORS)
    assert list(DECIDERS) == [each.NAME for each in ACTORS]


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries({issue: st.lists(st.sampled_from(WORKS), min_size=1, max_size=2) for issue in "abcd"}),
    st.frozensets(st.integers(1, 60), max_size=3),
    st.dictionaries(st.integers(1, 60), st.sampled_from(["kill", "commit", "close", "reopen"]), max_size=4),
    st.integers(0, 999),
)
def test_any_run_is_decided_again_as_it_was(
    works: dict[str, list[str]], crashes: frozenset[int], acts: dict[int, str], seed: int
) -> None:
    with driver(works, {"b": ["a"]}, crashes, seed % 2 == 0) as d:
        d.run(Random(seed), acts)
        events = read_all(d.folder)
        verdict = read({"n1": list(events)})
    assert verdict.difference is None
    assert verdict.decisions == sum(1 for event in events if event.seen) > 0
    assert not verdict.notes


def test_what_was_decided_at_once_is_asked_at_once(two_closed: Node) -> None:
    verdict = read(log(two_closed), actors=CLOSER)
    assert (verdict.decisions, verdict.actors, verdict.difference) == (2, {"closer": 2}, None)


def test_what_was_decided_after_a_decision_was_seen_is_asked_on_its_own() -> None:
    """Though nothing stands between them in the file."""
    one_by_one = actor("closer", lambda board, now: close_all(board, now)[:2])
    node = Node("n1")
    node.issue("a")
    node.issue("b")
    for now, event in enumerate(list(node.events)):
        node.decided(Decide(event.subject, IssueClosed(event.id), event.id), {}, now=float(now))
    verdict = read(log(node), actors=one_by_one)
    assert (verdict.difference, verdict.decisions) == (None, 2)


def test_only_what_was_seen_is_folded() -> None:
    """Of the other node one event was seen and the next was not, though it sorts before the decision."""
    one, other = Node("n1"), Node("n2", BEGIN - 100)
    seen = other.issue("x")
    other.issue("y")
    one.issue("a")
    for issue, cause in (("a", one.events[0].id), ("x", seen)):
        one.decided(Decide(issue, IssueClosed(cause), cause), {"n2": seen})
    assert read(log(one, other), actors=CLOSER).difference is None
    blind = read({"n1": log(one)["n1"]}, actors=CLOSER)
    assert blind.difference
    assert blind.difference.lost == [("n2", seen)]
    assert blind.notes == [f"of n1's decisions, some had seen {seen} of n2: not in the log"]


def test_the_board_is_seen_from_the_node_that_decided() -> None:
    """The other node's run is newer, and its settings are other ones: they are not in force here."""
    one, other = Node("n1"), Node("n2", BEGIN + 50)
    one.run("run-1", node="n1", runtime="shell")
    one.issue("a")
    seen = other.run("run-2", node="n2", runtime="pi")
    here = Board(here="n1").fold([*one.events, *other.events])
    (assigned,) = [choice for choice in coordinator.due(here, 7.0) if isinstance(choice, Decide)]
    one.decided(assigned, {"n2": seen}, "coordinator")
    verdict = read(log(one, other))
    assert (verdict.difference, verdict.decisions) == (None, 1)
    assert one.events[-1].data.runtime == "shell"


def test_of_a_node_whose_last_seen_event_is_lost_nothing_later_is_folded() -> None:
    one, other = Node("n1"), Node("n2", BEGIN - 100)
    seen = other.issue("x")
    other.issue("y")
    one.issue("a")
    one.decided(Decide("a", IssueClosed(one.events[0].id), one.events[0].id), {"n2": seen})
    verdict = read({"n1": log(one)["n1"], "n2": log(other)["n2"][1:]}, actors=CLOSER)
    assert (verdict.difference, verdict.decisions) == (None, 1)
    assert len(verdict.notes) == 1


def test_an_actor_is_asked_at_the_time_of_then(two_closed: Node) -> None:
    asked: list[float] = []

    def due(board: Board, now: float) -> list[Command]:
        asked.append(now)
        return close_all(board, now)

    assert read(log(two_closed), actors=actor("closer", due)).difference is None
    assert asked == [7.0]


def test_where_less_was_seen_than_before_the_fold_begins_again() -> None:
    """Two histories of one node that were put together: the second half never saw the first."""
    node = Node("n1")
    node.issue("a")
    node.issue("b")
    first, second = (Decide(i, IssueClosed(g.id), g.id) for i, g in zip("ab", node.events, strict=True))
    node.decided(first, {}, now=1.0)
    node.decided(second, {}, now=1.0)
    node.decided(first, {}, now=2.0)
    node.events[-1] = msgspec.structs.replace(node.events[-1], seen={"n1": node.events[0].id})
    verdict = read(log(node), actors=CLOSER)
    assert (verdict.difference, verdict.decisions) == (None, 3)


def test_a_copy_of_the_lines_changes_nothing(two_closed: Node) -> None:
    lines = log(two_closed)["n1"]
    verdict = read({"n1": lines + lines}, actors=CLOSER)
    assert (verdict.difference, verdict.decisions) == (None, 2)


def test_a_batch_that_was_torn_is_not_held_against_anybody(two_closed: Node) -> None:
    lines = log(two_closed)["n1"]
    stopped = followed_by(two_closed, RunStopped("all is done", 0))
    assert read({"n1": [*lines[:-1], TORN]}, actors=CLOSER).difference is None
    assert read({"n1": [TORN, *lines[:-1], stopped]}, actors=CLOSER).difference is not None
    assert read({"n1": [*lines[:2], lines[3], TORN]}, actors=CLOSER).difference is not None


def test_nor_is_one_that_was_cut_between_two_lines(two_closed: Node) -> None:
    lines = log(two_closed)["n1"]
    mail = followed_by(two_closed, MailSent(to=["human"], body="I live, says the agent."))
    again = followed_by(two_closed, RunStarted(1, "boot", 1, "0", "main", "shell", 1, 1))
    stopped = followed_by(two_closed, RunStopped("all is done", 0))
    for after in ([], [mail], [again], [mail, TORN], [mail, again], [again, stopped]):
        assert read({"n1": [*lines[:-1], *after]}, actors=CLOSER).difference is None
        assert read({"n1": [*lines[:2], lines[3], *after]}, actors=CLOSER).difference is not None


def test_one_whose_run_went_on_is(two_closed: Node) -> None:
    lines = log(two_closed)["n1"]
    mail = followed_by(two_closed, MailSent(to=["human"], body="I live, says the agent."))
    stopped = followed_by(two_closed, RunStopped("all is done", 0))
    two_closed.issue("c")
    two_closed.decide()
    for after in ([stopped], [mail, stopped], [mail, TORN, stopped], two_closed.events[len(lines) :]):
        assert read({"n1": [*lines[:-1], *after]}, actors=CLOSER).difference is not None


def test_decisions_of_actors_that_are_no_more_are_noted(two_closed: Node) -> None:
    verdict = read(log(two_closed))
    assert (verdict.decisions, verdict.difference) == (0, None)
    assert verdict.notes == ["2 decisions of closer on n1: no such actor today"]


def test_only_what_came_after_is_compared(two_closed: Node) -> None:
    nobody = actor("closer", lambda _board, _now: [])
    assert read(log(two_closed), two_closed.events[1].id, nobody).difference
    assert read(log(two_closed), two_closed.events[2].id, nobody).difference is None
    two_closed.issue("c")
    two_closed.decided(Decide("c", IssueClosed(two_closed.events[-1].id), two_closed.events[-1].id), {}, now=8.0)
    late = read(log(two_closed), two_closed.events[3].id, CLOSER)  # and all before it is folded
    assert (late.difference, late.decisions) == (None, 1)


# --- what differs ---------------------------------------------------------------------------------


def changed(**fields: Any) -> Any:
    """The closer of tomorrow, that closes otherwise."""

    def due(board: Board, now: float) -> list[Command]:
        found: list[Command] = []
        for command in close_all(board, now):
            if isinstance(command, Decide) and command.subject == "b":
                command = Decide("b", msgspec.structs.replace(command.fact, **fields), command.cause)
            found.append(command)
        return found

    return actor("closer", due)


def test_another_field_is_the_difference(two_closed: Node) -> None:
    found = read(log(two_closed), actors=changed(reason="tired")).difference
    assert found
    assert (found.node, found.number, found.event) == ("n1", 1, two_closed.events[3])
    assert found.recorded == Decide("b", IssueClosed(two_closed.events[1].id), two_closed.events[1].id)
    assert found.decided
    assert found.decided.fact == IssueClosed(two_closed.events[1].id, "tired")
    assert found.due == ["issue.closed"]
    line = changed()["closer"].due.__code__.co_firstlineno
    assert [reason.split("(")[0] for reason in found.reason] == ["today's comes from due "]
    assert found.reason[0].endswith(f":{line})")


def test_another_cause_is_a_difference(two_closed: Node) -> None:
    def due(board: Board, now: float) -> list[Command]:
        return [Decide(c.subject, c.fact, "") for c in close_all(board, now) if isinstance(c, Decide)]

    found = read(log(two_closed), actors=actor("closer", due)).difference
    assert found
    assert (found.number, found.decided) == (0, Decide("a", IssueClosed(two_closed.events[0].id), ""))


def test_one_less_one_more_and_another_order_are_differences(two_closed: Node) -> None:
    def but(change: Any) -> Any:
        return actor("closer", lambda board, now: change(close_all(board, now)[1:]))

    less = read(log(two_closed), actors=but(lambda due: due[:1])).difference
    assert less
    assert (less.number, less.decided, less.due) == (1, None, [])
    assert less.recorded
    whole = {"n1": [*two_closed.events, followed_by(two_closed, RunStopped("all is done", 0))]}
    more = read(whole, actors=but(lambda due: [*due, Decide("c", IssueOpened("c"))])).difference
    assert more
    assert (more.number, more.recorded, more.event) == (2, None, two_closed.events[3])
    turned = read(log(two_closed), actors=but(lambda due: due[::-1])).difference
    assert turned
    assert turned.number == 0
    assert turned.reason[-1] == "the recorded one is decided today too, but not in this place"


def test_an_actor_that_raises_is_a_difference_with_its_words(two_closed: Node) -> None:
    def due(_board: Board, _now: float) -> list[Command]:
        raise KeyError("gone")

    found = read(log(two_closed), actors=actor("closer", due)).difference
    assert found
    assert found.error == "KeyError: 'gone'"
    assert found.reason == ["today's closer raises KeyError: 'gone'"]
    assert (found.recorded, found.decided) == (Decide("a", two_closed.events[2].data, two_closed.events[0].id), None)


def test_the_first_of_all_nodes_is_told() -> None:
    early, late = Node("n2"), Node("n1", BEGIN + 50)
    for node in (early, late):
        node.issue(f"a-{node.name}")
        node.decide()
    found = read(log(early, late), actors=actor("closer", lambda _board, _now: [])).difference
    assert found
    assert (found.node, found.event) == ("n2", early.events[1])


def test_decisions_before_the_difference_are_counted() -> None:
    node = Node("n1")
    for name in "ab":
        node.issue(name)
        generation = node.events[-1].id
        node.decided(Decide(name, IssueClosed(generation), generation), {}, now=float(len(node.events)))
    verdict = read(log(node), actors=changed(reason="tired"))
    assert verdict.difference
    assert (verdict.decisions, verdict.difference.event) == (1, node.events[-1])


def test_the_state_that_is_told_is_of_the_issue_and_of_what_led_to_it() -> None:
    """A coordinator that does not pass on a letter any more: the letter is shown, and the rule that would."""
    node = Node("n1")
    node.run()
    node.issue("a")
    letter = node.letter("coordinator", source="agent/kim", kind="blocked", issue="a")
    for choice in coordinator.due(node.board(), node.now):
        if isinstance(choice, Decide) and (isinstance(choice.fact, MailSent) or choice.subject == letter):
            node.decided(choice, {}, "coordinator")
    quiet = actor("coordinator", lambda _board, _now: [])
    quiet["coordinator"] = SimpleNamespace(**{**vars(coordinator), "due": lambda _board, _now: []})
    found = read(log(node), actors=quiet).difference
    assert found
    assert any(line.startswith(f"letter  {letter[-8:]}: from agent-kim to coordinator") for line in found.state)
    assert found.reason[0] == "today's coordinator does not find the recorded one due"
    assert found.reason[1].startswith("it decides such in _answer (actors/coordinator.py:")


def test_every_line_is_asked_for_lazily() -> None:
    """A long log does not stand in memory: what is read is folded and let go."""
    node, out = Node("n1"), [0, 0]
    for number in range(50):
        node.issue(f"i{number}")
        generation = node.events[-1].id
        node.decided(Decide(f"i{number}", IssueClosed(generation), generation), {}, now=float(number))

    def lines(_name: str) -> Iterator[Event[Any]]:
        for event in node.events:
            out[0] += 1
            yield event

    verdict = decide_again(["n1"], lines, "", actor("closer", lambda _board, _now: []))
    assert verdict.difference
    assert out[0] < 10
