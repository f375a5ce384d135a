"""What cannot have happened is found, whatever the order; what healthy swarms leave behind has no error in it."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from swarm.eventlog.events import (
    AgentInterrupted,
    AgentNudged,
    AttemptRetried,
    BatchFormed,
    BatchTested,
    CheckoutSeen,
    FindingsReported,
    GateControlled,
    GateFinished,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    IssueLinked,
    IssueOpened,
    IssueTaken,
    LeakCleared,
    LeakDetected,
    LeaseAcquired,
    LeaseReleased,
    LogRepaired,
    MailAcked,
    MailDeadLettered,
    MailDelivered,
    MailSent,
    MergeDropped,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeReverted,
    MergeTested,
    QueueHeld,
    QuotaProbed,
    QuotaResumed,
    RunStopped,
    SessionExited,
    SessionKillRequested,
    SessionLost,
    SessionStarted,
    WorkSecured,
    WorktreeRemoved,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify

from driver import WORKS, driver
from history import BASE, History, batch, commit
from soak import amount
from verifying import chained, errors, verified

MERGE = commit(f"merge of a-1 into {BASE}")
OTHER = "00000000-03e8-7000-aaf3-7fffffffffff"


@pytest.fixture(scope="module")
def run() -> list[Event[Any]]:
    """A run in which an issue lands, one fails and is tried again, and a letter is read; without the causes."""
    with driver({"a": ["well"], "b": ["breaks", "well"]}) as d:
        d.person(MailSent(to=["coordinator"], body="hello"), "")
        d.run(Random(1))
        assert verify(d.folder).errors == []
        return [replace(event, causationid="") for event in read_all(d.folder)]


# --- what is missing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("run.started", "the run run-1 never started"),
        ("issue.opened", "is not in the log"),
        ("issue.assigned", "attempt 1 of a was never assigned"),
        ("session.", "session a-1 of a was neither asked for nor started"),
        ("work.secured", "of attempt 1 of a was never secured"),
        ("gate.finished", "attempt 1 of a has no passed gate on"),
        ("merge.queued", "attempt 1 of a was never queued"),
        ("batch.formed", "was never formed"),
        ("batch.stacked", "was not stacked on"),
        ("batch.tested", "has no passed test of"),
        ("merge.landed", "has not landed for a"),
        ("work.rejected", "attempt 1 of b has not failed"),
        ("mail.sent", "is not in the log"),
    ],
)
def test_each_step_needs_the_one_before_it(folder: str, run: list[Event[Any]], gone: str, words: str) -> None:
    assert verified(folder, run).errors == []
    left = [event for event in run if not event.type.startswith(gone) or event.type == "session.exited"]
    assert len(left) < len(run)
    assert any(words in error for error in verified(folder, left).errors), verify(folder).errors


def test_what_came_of_a_step_that_is_missing_is_told_once(folder: str, run: list[Event[Any]]) -> None:
    found = verified(folder, [event for event in run if event.type != "issue.assigned"]).errors
    assert len(found) == 3, "one for each attempt"


@pytest.fixture
def h() -> History:
    """A run, and an open issue `a`."""
    made = History()
    made.run()
    made.issue("a")
    return made


def generation(h: History) -> str:
    return h.events[1].id


@pytest.mark.parametrize(
    ("stage", "fact", "words"),
    [
        ("assigned", SessionExited("a-1", 1, 0, True, 1.0), "session a-1 of a was neither"),
        ("assigned", SessionLost("a-1", 1, "gone"), "session a-1 of a was neither"),
        ("assigned", SessionKillRequested("a-1", 1, "enough"), "session a-1 of a was neither"),
        ("assigned", AgentNudged("a-1", 1, "silent"), "session a-1 of a was neither"),
        ("assigned", AgentInterrupted("a-1", 1, "silent"), "session a-1 of a was neither"),
        ("assigned", LeakDetected(2, "main got 1234"), "attempt 2 of a was never assigned"),
        ("assigned", CheckoutSeen(2, BASE, "main", ""), "attempt 2 of a was never assigned"),
        ("assigned", LeakCleared(1), "attempt 1 of a was not seen to leak"),
        ("exited", MergeQueued(1, "b", commit("a-1")), "has no passed gate"),
        ("secured", GateFinished(1, commit("other"), "passed"), "was never secured"),
        ("gated", GateControlled(BASE, "passed", attempt=1), "every gate could judge a"),
        ("secured", WorktreeRemoved(1, "w", commit("other")), "was never secured"),
        ("stacked", MergeLanded(1, "main", BASE, MERGE, batch=batch("a"), own=MERGE), "has no passed test"),
        ("tested", MergeLanded(1, "main", "0" * 40, MERGE, batch=batch("a"), own=MERGE), "has no passed test"),
        ("tested", MergeLanded(1, "main", BASE, MERGE), "has no passed test"),
        ("tested", MergeReverted(1, "main", MERGE, BASE), "has not landed for a"),
        ("gated", MergeDropped(1), "was never queued"),
        ("queued", QueueHeld("person", "no"), "the run a never started"),
        ("gated", AttemptRetried(1, "bad"), "attempt 1 of a has not failed"),
        ("assigned", IssueHeld("", "stuck", 2), "attempt 2 of a was never assigned"),
        ("assigned", IssueTaken("no id", "pat"), "its generation no id is not in the log"),
        ("assigned", LeaseReleased("no id"), "its lease no id is not in the log"),
        ("assigned", QuotaProbed("a"), "a has never refused for lack of quota"),
        ("assigned", QuotaResumed("a-1"), "a has never refused for lack of quota"),
        ("assigned", RunStopped("idle", 0), "the run a never started"),
        ("assigned", MailSent(to=["human"], body="x", reply_to="no id"), "its letter no id is not in the log"),
    ],
)
def test_what_rests_on_nothing_is_found(folder: str, h: History, stage: str, fact: Fact, words: str) -> None:
    h.to(stage)
    assert errors(folder, h) == []
    h.add(fact, "a", "builder")
    assert [words in error for error in errors(folder, h)] == [True]


def test_what_a_batch_rests_on_is_looked_for(folder: str, h: History) -> None:
    h.to("queued")
    h.add(BatchFormed([("a", 1), ("ghost", 1)], after="b-0", of="b-1"), batch("a"), "merger")
    found = errors(folder, h)
    for words in ("attempt 1 of ghost was never queued", "the batch b-0 was never", "the batch b-1 was never"):
        assert any(words in error for error in found), found
    other = History()
    other.run()
    other.issue("a")
    other.to("formed")
    assert errors(folder, other) == []
    other.add(BatchTested(BASE, commit("other"), "t", "passed"), batch("a"), "merger")
    assert ["was not stacked on" in error for error in errors(folder, other)] == [True]
    other.add(BatchFormed([("a", 1)]), batch("a"), "merger")
    assert any("was formed twice" in error for error in errors(folder, other))


def test_until_0_3_a_landing_rests_on_its_own_test(folder: str, h: History) -> None:
    h.to("queued")
    for fact in (
        MergePrepared(1, BASE, MERGE, "t"), MergeTested(1, BASE, MERGE, "passed"), MergeLanded(1, "main", BASE, MERGE)
    ):  # fmt: skip
        h.add(fact, "a", "merger")
    assert errors(folder, h) == []


@pytest.mark.parametrize("verdict", ["failed", "broken"])
def test_only_a_good_verdict_lets_a_commit_go_on(folder: str, h: History, verdict: str) -> None:
    h.to("gated", verdict=verdict)
    assert errors(folder, h) == []
    h.to("queued")
    assert ["has no passed gate" in error for error in errors(folder, h)] == [True]
    other = History()
    other.run()
    other.issue("a")
    other.to("tested", verdict=verdict)
    other.to("landed")
    assert ["has no passed test" in error for error in errors(folder, other)] == [True]


def test_without_a_test_command_nothing_is_missed(folder: str, h: History) -> None:
    h.to("secured")
    h.add(GateFinished(1, commit("a-1"), "none"), "a", "builder")
    h.queued("a", 1)
    h.formed("a", 1)
    h.stacked("a", 1)
    h.tested("a", 1, "none")
    landed = h.landed("a", 1)
    h.add(IssueClosed(generation(h), "landed", h.events[-1].data.commit), "a", "coordinator", landed)
    assert errors(folder, h) == []


def test_a_program_that_was_not_found_has_ended_without_a_start(folder: str, h: History) -> None:
    h.to("prepared")
    h.add(SessionExited("a-1", 1, 127, False, 0.0, ended_by="missing"), "a", "session/a-1")
    assert errors(folder, h) == []


def test_what_the_coordinator_closes_has_landed_or_was_answered_and_a_person_closes_anything(
    folder: str, h: History
) -> None:
    h.to("assigned")
    for reason in ("answered", "landed"):
        h.add(IssueClosed(generation(h), reason), "a", "human")
    assert errors(folder, h) == []
    h.add(IssueClosed(generation(h), "answered"), "a", "coordinator")
    assert ["a was never answered" in error for error in errors(folder, h)] == [True]
    h.add(FindingsReported(1, "it is so"), "a", "scout")
    assert errors(folder, h) == []
    h.add(IssueClosed(generation(h), "landed", "c" * 40), "a", "coordinator")
    assert ["has not landed for a" in error for error in errors(folder, h)] == [True]


def test_a_generation_is_an_opening_of_this_very_issue(folder: str, h: History) -> None:
    other = h.issue("b")
    h.add(IssueTaken(other, "pat"), "a")
    assert [f"a was not opened by {other}" in error for error in errors(folder, h)] == [True]


def test_an_assignment_rests_on_a_lease_of_its_own_node_and_generation(folder: str, h: History) -> None:
    given = {"attempt": 1, "generation": generation(h), "agent": "builder-1", "role": "builder", "runtime": "shell"}
    lease = h.add(LeaseAcquired("n1", generation(h), 1.0), "a", "carrier")
    h.add(IssueAssigned(**given, node="n1", lease=lease), "a", "coordinator")
    h.add(LeaseAcquired("n1", generation(h), 2.0, after=lease), "a", "carrier")
    assert errors(folder, h) == []
    h.add(IssueAssigned(**given | {"attempt": 2}, node="n2", lease=lease), "a", "coordinator")
    assert [f"no lease {lease} gave a to node n2" in error for error in errors(folder, h)] == [True]


def test_a_need_of_an_issue_that_is_not_there_is_a_note(folder: str, h: History) -> None:
    h.add(IssueOpened("t", needs=["sw-x"]), "b")
    h.add(IssueLinked(["sw-x", "a"]), "b")
    report = verified(folder, h.events)
    assert (report.errors, ["there is no issue sw-x" in note for note in report.notes]) == ([], [True])


# --- what was twice, or both ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("assigned", "attempt 1 of a was assigned twice"),
        ("exited", "session a-1 of a ended twice"),
        ("landed", "attempt 1 of a landed twice"),
    ],
)
def test_what_can_be_once_only_is_found_when_it_was_twice(folder: str, h: History, stage: str, words: str) -> None:
    """Pain 19: an attempt has one assignment. A copy of a line is not a second event."""
    h.to(stage)
    Path(folder, "n2.jsonl").write_bytes(chained(h.events))
    assert errors(folder, h) == []
    Path(folder, "n2.jsonl").unlink()
    last = h.events[-1]
    h.add(last.data, last.subject, last.source)
    assert [words in error for error in errors(folder, h)] == [True]


@pytest.mark.parametrize("had", [MailDelivered, MailAcked])
@pytest.mark.parametrize("first", [0, 1])
def test_pains_3_a_letter_is_never_both_had_and_dead_for_one_reader(
    folder: str, h: History, had: Callable[..., Fact], first: int
) -> None:
    letter = h.letter("agent-kim")
    marks = [had(letter, "agent-kim"), MailDeadLettered(letter, "agent-kim", "gone")]
    h.add(marks[first], letter)
    assert errors(folder, h) == []
    h.add(marks[1 - first], letter)
    assert [f"letter {letter} is dead for agent-kim" in error for error in errors(folder, h)] == [True]


def test_pains_3_every_letter_that_was_sent_is_in_exactly_one_place(folder: str, h: History) -> None:
    chance, sent = Random(3), [h.letter("human", "agent-kim") for _ in range(60)]
    for letter in sent:
        for reader in ("human", "agent-kim"):
            kind = chance.choice([None, MailDelivered, MailAcked, MailDeadLettered])
            if kind:
                h.add(kind(letter, reader, *(["gone"] if kind is MailDeadLettered else [])), letter)
    report = verified(folder, h.events)
    assert report.errors == []
    assert sum(report.letters.values()) == len(sent)
    assert all(report.letters.values()), "each of the four is among them"


# --- a set, not a sequence ------------------------------------------------------------------------


@settings(max_examples=amount(30, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_events_is_of_no_account(folder: str, run: list[Event[Any]], chance: Any) -> None:
    parts: dict[str, list[Event[Any]]] = {"n0": [], "n1": [], "n2": []}
    for event in run:
        parts[chance.choice(sorted(parts))].append(event)
    for node, events in parts.items():
        Path(folder, f"{node}.jsonl").write_bytes(chained(events))
    report = verify(folder)
    assert (report.errors, report.notes, report.events) == ([], [], len(run))


# --- what may be missing --------------------------------------------------------------------------


def test_what_a_person_elsewhere_said_of_an_attempt_that_has_not_arrived_is_a_note(folder: str, h: History) -> None:
    h.add(SessionKillRequested("a-1", 1, "enough"), "a", "human", run="")
    wish = h.events.pop()
    assert ["neither" in error for error in verified(folder, [wish], "n2").errors] == [True], "there is no other node"
    report = verified(folder, h.events)
    assert (report.errors, ["may not have arrived" in note for note in report.notes]) == ([], [True])


def test_what_an_actor_said_of_what_has_not_arrived_is_a_note_as_its_cause_is(folder: str, h: History) -> None:
    h.add(AttemptRetried(1, "bad"), "a", "watchdog", cause=OTHER)
    report = verified(folder, h.events)
    assert (report.errors, len(report.notes)) == ([], 2)
    last = h.events.pop()
    h.add(last.data, "a", "watchdog")
    assert len(errors(folder, h)) == 1


def test_a_newer_versions_shape_is_no_proof_that_something_is_missing(folder: str, h: History) -> None:
    h.to("started")
    whole = (
        chained(h.events).replace(b"session.requested", b"session.wanted").replace(b"session.started", b"session.up")
    )
    Path(folder, "n1.jsonl").write_bytes(whole)
    events = read_all(folder)
    h.to("exited")
    report = verified(folder, [*events, h.events[-1]])
    assert report.errors == []
    assert any("newer version" in note for note in report.notes)


def test_what_a_repair_moved_away_is_missed_as_a_note_also_by_what_comes_later(folder: str, h: History) -> None:
    h.to("assigned")
    h.to("started")
    kept = [
        event for event in h.events if not isinstance(event.data, SessionStarted) and event.type != "session.requested"
    ]
    h.events = kept
    h.exited("a", 1)
    assert len(errors(folder, h)) == 1
    h.events.pop()
    h.add(LogRepaired("n1.jsonl", "q", 2))
    h.exited("a", 1)
    report = verified(folder, h.events)
    assert (report.errors, ["by a repair" in note for note in report.notes]) == ([], [True])
    h.issue("b")
    h.assigned("b", 1)
    h.exited("b", 1)
    assert len(errors(folder, h)) == 1, "what began after the repair is none of its doing"


# --- healthy swarms -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(amount(40, 2000)))
def test_a_swarm_that_crashes_and_is_meddled_with_leaves_a_whole_log(seed: int) -> None:
    chance = Random(seed)
    names = "abcd"[: chance.randint(1, 4)]
    works = {name: [chance.choice(WORKS) for _ in range(chance.randint(1, 2))] for name in names}
    needs = {name: [other for other in names[:at] if chance.random() < 0.3] for at, name in enumerate(names)}
    crashes = frozenset(chance.randint(1, 60) for _ in range(chance.randint(0, 6)))
    acts = {
        chance.randint(0, 40): chance.choice(["kill", "close", "reopen", "commit"]) for _ in range(chance.randint(0, 6))
    }
    with driver(works, needs, crashes, chance.random() < 0.5, chance.randint(1, 3)) as d:
        d.run(Random(seed), acts)
        report = verify(d.folder)
        assert (report.errors, report.notes) == ([], [])


def test_a_work_secured_twice_may_be_removed_by_either(folder: str, h: History) -> None:
    h.to("secured")
    h.secured("a", 1, commit=commit("again"))
    h.add(WorktreeRemoved(1, "w", commit("a-1")), "a", "builder")
    assert isinstance(h.events[-2].data, WorkSecured)
    assert errors(folder, h) == []
