"""What holds for the `due` of every actor, on boards of any history."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.actors.system import ACTORS
from swarm.actors.watchdog import START_GRACE
from swarm.eventlog.events import (
    AgentInterrupted,
    AgentNudged,
    AttemptCancelled,
    AttemptRetried,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueReopened,
    IssueTaken,
    Patience,
    RetryPolicy,
    RunStopRequested,
    SessionKillRequested,
    SessionProgressed,
    WorkRejected,
    WorktreeRemoved,
)
from swarm.projections import Board

from history import STAGES, History, snapshot

ISSUES = st.sampled_from("abcd")
TURNS = ("fail", "retry", "cancel", "reopen", "close", "hold", "take", "delegate", "kill", "remove", "letter", "stop",
         "print", "wait", "ask", "interrupt")  # fmt: skip


def turn(h: History, word: str, issue: str, attempt: int) -> None:
    """Something that may happen beside an attempt's straight way."""
    generation = h.generation(issue)
    facts = {
        "fail": WorkRejected(attempt, "bad"),
        "retry": AttemptRetried(attempt, "bad"),
        "cancel": AttemptCancelled(attempt, "closed"),
        "reopen": IssueReopened(),
        "close": IssueClosed(generation),
        "hold": IssueHeld(generation, "stuck"),
        "take": IssueTaken(generation, "pat"),
        "delegate": IssueDelegated("kim"),
        "kill": SessionKillRequested(f"{issue}-{attempt}", attempt, "enough"),
        "remove": WorktreeRemoved(attempt, "w", "c"),
        "print": SessionProgressed(f"{issue}-{attempt}", attempt, 9),
        "wait": SessionProgressed(f"{issue}-{attempt}", attempt, 9, state="waiting_input"),
        "ask": AgentNudged(f"{issue}-{attempt}", attempt, "silent"),
        "interrupt": AgentInterrupted(f"{issue}-{attempt}", attempt, "silent"),
    }
    if word == "letter":
        h.letter("coordinator", f"issue:{issue}", "agent-builder-1", source="agent/kim", kind="blocked", issue=issue)
    elif word == "stop":
        h.add(RunStopRequested(agents=True), "run-1")
    else:
        h.add(facts[word], issue)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Runs, issues that need each other, attempts that got anywhere, and turns of all kinds."""
    h = History()
    h.run(
        max_agents=draw(st.integers(1, 3)),
        max_retries=draw(st.integers(0, 1)),
        spend_log="/spend.jsonl",
        retry=draw(st.sampled_from([RetryPolicy(), RetryPolicy(backoff=5.0)])),
        patience=draw(st.sampled_from([Patience(), Patience(3.0, 2.0, 2.0, 4.0, 4.0)])),
    )
    for number, issue in enumerate("abcd"):
        needs = draw(st.lists(st.sampled_from("abcd"[:number]), max_size=1)) if number else []
        h.issue(issue, priority=draw(st.integers(1, 3)), needs=needs)
    reached: dict[tuple[str, int], int] = {}
    for issue, attempt, stage, word in draw(
        st.lists(st.tuples(ISSUES, st.integers(1, 2), st.sampled_from(STAGES), st.sampled_from(TURNS)), max_size=14)
    ):
        if STAGES.index(stage) >= reached.get((issue, attempt), 0):
            role = draw(st.sampled_from(["builder", "scout"])) if stage == "assigned" else ""
            h.to(stage, issue, attempt, **({"role": role} if role else {}))
            reached[issue, attempt] = STAGES.index(stage) + 1
        if draw(st.booleans()):
            turn(h, word, issue, attempt)
    return h


@settings(max_examples=100, deadline=None)
@given(histories())
def test_looking_changes_nothing(h: History) -> None:
    board = h.board()
    before = snapshot(board)
    for actor in ACTORS:
        assert actor.due(board, h.now) == actor.due(board, h.now)
    assert snapshot(board) == before


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(0, 999))
def test_the_order_in_which_events_came_does_not_matter(h: History, seed: int) -> None:
    events = h.events * 2
    Random(seed).shuffle(events)
    board, shuffled = h.board(), Board().fold(events)
    for actor in ACTORS:
        for now in (h.now, h.now + START_GRACE + 1):
            assert actor.due(shuffled, now) == actor.due(board, now)


@settings(max_examples=100, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_a_log_with_damaged_lines_crashes_nobody(h: History, random: Random) -> None:
    left = [event for event in h.events if random.random() < 0.7]
    board = Board().fold(left)
    before = snapshot(board)
    for actor in ACTORS:
        actor.due(board, h.now)
    assert snapshot(board) == before


@settings(max_examples=100, deadline=None)
@given(histories())
def test_what_is_decided_is_no_longer_due(h: History) -> None:
    """Else an actor would decide the same for ever. Letters about letters take a few rounds."""
    for actor in ACTORS:
        for _ in range(5):
            decisions = [command for command in actor.due(h.board(), h.now) if hasattr(command, "fact")]
            for command in decisions:
                h.add(command.fact, command.subject, actor.NAME)
            if not decisions:
                break
        else:
            raise AssertionError(f"{actor.NAME} still decides {decisions}")


@settings(max_examples=100, deadline=None)
@given(histories())
def test_an_attempt_has_one_step_at_a_time(h: History) -> None:
    for actor in ACTORS:
        keys = [c.key for c in actor.due(h.board(), h.now) if not hasattr(c, "fact")]
        assert len(keys) == len(set(keys))
