"""Silence has steps, waiting has clocks of its own, and only the agent itself gives a sign of life."""

from typing import Any

import pytest

from swarm.actors import liveness, watchdog
from swarm.actors.command import Decide
from swarm.actors.liveness import ONCE, Interrupt
from swarm.eventlog.events import (
    AgentInterrupted,
    AgentNudged,
    IssueClosed,
    MailDeadLettered,
    MailSent,
    Patience,
    SessionKillRequested,
    SessionProgressed,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import time_of
from swarm.mailbox import views
from swarm.projections import Board, agents
from swarm.world import SessionSpec

from history import History, decided, deeds

PATIENCE = Patience(nudge=100.0, interrupt=50.0, kill=20.0, waiting=1000.0, limited=500.0)
HOST = "session/a-1"


@pytest.fixture
def quiet(h: History) -> History:
    """An agent that began, and says nothing."""
    h.run("run-2", patience=PATIENCE)
    h.to("started")
    return h


def due(h: History, after: float = 0.0) -> list[Fact]:
    return [fact for _, fact in decided(liveness.due(h.board(), h.now + after))]


def take(h: History, after: float) -> list[str]:
    """Let so much time pass, and append what is due then."""
    facts = due(h, after)
    h.now += after - 1  # the next event comes a second later
    for fact in facts:
        h.add(fact, "a", "watchdog")
    return [fact.type for fact in facts]


def state(h: History, after: float = 0.0) -> str:
    return str(views.agents_view(h.board(), now=h.now + after)[0]["state"])


# --- silence ---


def test_pains_8_silence_is_asked_about_then_interrupted_then_ended_each_in_its_time(quiet: History) -> None:
    assert due(quiet, 99.9) == []
    assert take(quiet, 100) == ["mail.sent", "agent.nudged"]
    assert due(quiet, 49) == []
    assert take(quiet, 50) == ["agent.interrupted"]
    assert due(quiet, 19) == []
    (kill,) = due(quiet, 20)
    assert isinstance(kill, SessionKillRequested)
    assert (kill.session, kill.attempt, kill.failure) == ("a-1", 1, True)
    assert kill.reason.startswith("no sign of life for 3 minutes")
    assert kill.reason.endswith("though it was asked and interrupted")
    take(quiet, 20)
    assert due(quiet, 9999) == []


def test_the_letter_goes_to_the_agent_and_says_what_to_do(quiet: History) -> None:
    letter, nudged = due(quiet, 100)
    assert isinstance(letter, MailSent)
    assert (letter.to, letter.issue) == (["agent-builder-1"], "a")
    assert "swarm mail send" in letter.body
    assert nudged == AgentNudged("a-1", 1, "no sign of life for 100 seconds")


def test_each_decision_names_what_it_follows_from(quiet: History) -> None:
    began = quiet.events[-1].id
    assert {c.cause for c in liveness.due(quiet.board(), quiet.now + 100) if isinstance(c, Decide)} == {began}
    take(quiet, 100)
    nudged = quiet.events[-1].id
    assert [c.cause for c in liveness.due(quiet.board(), quiet.now + 50)] == [nudged]


SIGNS: list[tuple[Fact, str]] = [
    (SessionProgressed("a-1", 1, 10), HOST),
    (SessionProgressed("a-1", 1, 10, tools=1), HOST),
    (MailSent(["human"], "I am at it"), "agent/builder-1"),
]


@pytest.mark.parametrize(("sign", "source"), SIGNS)
def test_a_sign_of_life_begins_the_count_anew(quiet: History, sign: Fact, source: str) -> None:
    take(quiet, 100)
    take(quiet, 50)
    quiet.add(sign, "a", source)
    assert due(quiet, 99) == []
    assert take(quiet, 100) == ["mail.sent", "agent.nudged"]


@pytest.mark.parametrize(
    ("fact", "source"),
    [
        (AgentNudged("a-1", 1, "again"), "watchdog"),
        (AgentInterrupted("a-1", 1, "again"), "watchdog"),
        (MailSent(["agent-builder-1"], "are you there?", issue="a"), "watchdog"),
        (MailSent(["agent-builder-1"], "are you there?", issue="a"), "human"),
        (MailSent(["agent-builder-1"], "are you there?", issue="a"), "agent/builder-2"),
    ],
)
def test_pains_9_what_others_say_about_an_agent_is_no_sign_of_its_life(quiet: History, fact: Fact, source: str) -> None:
    began = quiet.board()[agents.State].alive(quiet.board()[agents.State].attempts["a", 1])
    quiet.now += 99
    quiet.add(fact, "a", source)
    board = quiet.board()
    assert board[agents.State].alive(board[agents.State].attempts["a", 1]) == began
    assert state(quiet, 1) == "silent"


def test_who_is_never_to_be_asked_is_never_asked(h: History) -> None:
    h.to("started")
    assert due(h, 10**9) == []
    assert state(h, 10**9) == "working"


@pytest.mark.parametrize(
    ("patience", "steps"),
    [
        (Patience(kill=30.0), ["session.kill_requested"]),
        (Patience(interrupt=10.0, kill=30.0), ["agent.interrupted", "session.kill_requested"]),
        (Patience(nudge=10.0, kill=30.0), ["mail.sent", "agent.nudged", "session.kill_requested"]),
        (Patience(nudge=10.0, interrupt=10.0), ["mail.sent", "agent.nudged", "agent.interrupted"]),
    ],
)
def test_a_step_that_has_no_time_is_left_out(h: History, patience: Patience, steps: list[str]) -> None:
    h.run("run-2", patience=patience)
    h.to("started")
    assert [kind for _ in range(4) for kind in take(h, 30)] == steps


def test_only_an_agent_that_runs_is_watched(quiet: History) -> None:
    quiet.to("exited")
    assert due(quiet, 10**6) == []
    quiet.to("gate_requested")
    quiet.started("a", 1, session="a-1-gate", kind="gate")
    assert due(quiet, 10**6) == [], "a test has a time limit"


def test_who_is_ended_already_is_left_alone(quiet: History) -> None:
    quiet.add(SessionKillRequested("a-1", 1, "enough"), "a")
    assert due(quiet, 10**6) == []


def test_who_has_not_begun_is_not_silent(h: History) -> None:
    h.run("run-2", patience=PATIENCE)
    h.to("requested")
    assert due(h, 10**6) == []


def test_what_another_node_does_is_its_own_to_watch(h: History) -> None:
    h.run("run-2", patience=PATIENCE, node="n1")
    h.to("assigned", node="n2")
    h.to("started")
    assert len(due(h, 10**6)) == 2, "seen from nowhere"
    assert liveness.due(Board(here="n1").fold(h.events), h.now + 10**6) == []


# --- interrupting ---


def interrupts(h: History, after: float = 0.0) -> list[Any]:
    return [command for command in deeds(liveness.due(h.board(), h.now + after)) if isinstance(command, Interrupt)]


def test_an_interrupt_that_was_decided_is_sent_once(quiet: History, bench: Any) -> None:
    take(quiet, 100)
    assert interrupts(quiet) == []
    take(quiet, 50)
    (command,) = interrupts(quiet)
    assert interrupts(quiet, 5) == [command], "the same, so that it is not tried again for a while"
    assert command.patience(bench.hands) >= ONCE
    assert interrupts(quiet, ONCE) == []
    quiet.add(SessionProgressed("a-1", 1, 10), "a", HOST)
    assert interrupts(quiet) == []


def test_interrupting_asks_the_session(bench: Any) -> None:
    spec = SessionSpec(session="a-1", issue="a", attempt=1, kind="agent", argv=["x"], cwd="/", run_dir="/", log_dir="/")
    bench.sessions.start(spec, {})
    assert watchdog.perform(Interrupt("a-1", "cause"), bench.hands) == []
    assert bench.sessions.interrupted == ["a-1"]


# --- waiting ---


@pytest.mark.parametrize(("word", "limit"), [("waiting_input", 1000.0), ("rate_limited", 500.0)])
def test_pains_7_who_waits_is_left_alone_and_ended_with_words_when_its_own_time_is_over(
    quiet: History, word: str, limit: float
) -> None:
    waits = quiet.add(SessionProgressed("a-1", 1, 10, state=word), "a", HOST)
    left = time_of(waits) + limit - quiet.now
    assert due(quiet, left - 0.1) == []
    assert state(quiet, left - 0.1) == word
    (kill,) = due(quiet, left)
    assert isinstance(kill, SessionKillRequested)
    assert kill.failure
    assert ("provider" in kill.reason) is (word == "rate_limited")
    assert f"{limit / 60:.0f} minutes" in kill.reason


def test_a_letter_does_not_prolong_the_waiting(quiet: History) -> None:
    quiet.add(SessionProgressed("a-1", 1, 10, state="waiting_input"), "a", HOST)
    quiet.now += 900
    quiet.add(MailSent(["human"], "may I?"), "a", "agent/builder-1")
    assert [type(fact) for fact in due(quiet, 100)] == [SessionKillRequested]


def test_who_waits_no_more_is_watched_as_before(quiet: History) -> None:
    quiet.add(SessionProgressed("a-1", 1, 10, state="waiting_input"), "a", HOST)
    quiet.now += 900
    quiet.add(SessionProgressed("a-1", 1, 20), "a", HOST)
    assert state(quiet) == "working"
    assert due(quiet, 99) == []
    assert take(quiet, 100) == ["mail.sent", "agent.nudged"]


# --- what is shown ---


def test_an_agent_is_silent_as_soon_as_that_can_be_known(quiet: History) -> None:
    assert state(quiet, 99) == "working"
    assert state(quiet, 100) == "silent"
    take(quiet, 100)
    assert state(quiet, -1000) == "silent", "it was asked, whatever the clock says"
    quiet.add(SessionProgressed("a-1", 1, 10), "a", HOST)
    assert state(quiet) == "working"


def test_what_the_machine_says_counts_more(quiet: History) -> None:
    quiet.add(SessionProgressed("a-1", 1, 10, state="waiting_input"), "a", HOST)
    assert views.agents_view(quiet.board(), {"a-1": "gone"})[0]["state"] == "gone"


def test_nobody_is_told_that_the_watchdogs_own_letter_was_not_read(quiet: History) -> None:
    take(quiet, 100)
    letter = quiet.events[-2].id
    quiet.to("landed")
    quiet.add(IssueClosed(quiet.generation("a")), "a")
    assert decided(watchdog.due(quiet.board(), quiet.now)) == [
        (letter, MailDeadLettered(letter, "agent-builder-1", "builder-1 is not at work"))
    ]
