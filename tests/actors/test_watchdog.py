"""Watchdog: sessions that are gone or unwanted, accounts, and letters that cannot arrive."""

from typing import Any

import msgspec
import pytest

from swarm.actors import watchdog
from swarm.actors.command import Decide
from swarm.actors.watchdog import START_GRACE, Kill, Probe, ReadSpend
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    AttemptRetried,
    IssueClosed,
    IssueHeld,
    MailAcked,
    MailDeadLettered,
    MailDelivered,
    MailSent,
    MergeConflicted,
    MergeDropped,
    MergePolicy,
    SessionKillRequested,
    SessionLost,
    SessionProgressed,
    UsageReported,
)
from swarm.eventlog.fact import Fact
from swarm.world import SessionSpec, Spend

from history import BASE, History, decided, deeds


def due(h: History) -> list[tuple[str, Fact]]:
    return decided(watchdog.due(h.board(), h.now))


def take_all(h: History) -> None:
    """Append what is due, as the ledger does."""
    for subject, fact in due(h):
        h.add(fact, subject, "watchdog")


# --- sessions ---


def test_a_session_is_looked_at_for_as_long_as_it_has_not_ended(h: History, bench: Any) -> None:
    asked = h.to("requested")
    assert watchdog.due(h.board(), h.now) == [Probe("a", 1, "a-1", False, asked)]
    h.to("started")
    assert watchdog.due(h.board(), h.now) == [Probe("a", 1, "a-1", True, asked)]
    h.to("exited")
    assert watchdog.due(h.board(), h.now) == []


def test_a_session_that_never_began_is_ripe_after_a_while(h: History) -> None:
    asked = h.to("requested")
    later = h.now + START_GRACE
    assert watchdog.due(h.board(), later) == [Probe("a", 1, "a-1", False, asked)]
    assert watchdog.due(h.board(), later + 0.5) == [Probe("a", 1, "a-1", True, asked)]


def test_a_wish_for_a_session_that_nobody_knows_is_ripe_too(h: History) -> None:
    h.to("prepared")
    wish = h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    assert watchdog.due(h.board(), h.now + START_GRACE + 0.5) == [Kill("a-1"), Probe("a", 1, "a-1", True, wish)]


def test_news_about_a_session_do_not_change_the_look_at_it(h: History) -> None:
    """Else each sign of life would make it look again at once."""
    h.to("started")
    before = watchdog.due(h.board(), h.now)
    h.add(SessionProgressed("a-1", 1, 100), "a", "session/a-1")
    assert watchdog.due(h.board(), h.now) == before


def test_what_somebody_wants_ended_is_killed_until_it_has_ended(h: History) -> None:
    h.to("started")
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    assert Kill("a-1") in deeds(watchdog.due(h.board(), h.now))
    h.to("exited", ended_by="killed", ok=False)
    assert Kill("a-1") not in watchdog.due(h.board(), h.now)


def spec() -> SessionSpec:
    return SessionSpec(session="a-1", issue="a", attempt=1, kind="agent", argv=["x"], cwd="/", run_dir="/", log_dir="/")


def probe(bench: Any, ripe: bool = True) -> list[Fact]:
    return [said.fact for said in watchdog.perform(Probe("a", 1, "a-1", ripe, "cause"), bench.hands)]


def test_a_running_host_is_left_alone(bench: Any) -> None:
    bench.sessions.start(spec(), {})
    assert probe(bench) == []
    assert bench.sessions.open() == ["a-1"]


def test_a_host_that_is_gone_without_a_word_is_lost(bench: Any) -> None:
    bench.sessions.start(spec(), {})
    bench.sessions.die("a-1")
    (lost,) = probe(bench)
    assert isinstance(lost, SessionLost)
    assert (lost.session, lost.attempt) == ("a-1", 1)


def test_an_end_that_was_not_logged_is_settled_and_not_lost(bench: Any) -> None:
    bench.sessions.start(spec(), {})
    bench.sessions.end("a-1", recorded=False)
    assert probe(bench) == []


def test_a_host_that_died_before_its_program_began_is_lost_once_it_is_ripe(bench: Any) -> None:
    bench.sessions.slow = True
    bench.sessions.start(spec(), {})
    bench.sessions.die("a-1")  # it had taken the folder
    assert probe(bench, ripe=False) == []
    assert [type(fact) for fact in probe(bench)] == [SessionLost]


def test_a_host_that_never_took_the_folder_is_lost_and_can_never_take_it(bench: Any) -> None:
    bench.sessions.slow = True
    bench.sessions.start(spec(), {})
    assert probe(bench, ripe=False) == []
    assert [type(fact) for fact in probe(bench)] == [SessionLost]
    bench.sessions.begin("a-1")
    assert bench.sessions.begun == []


def test_killing_asks_the_sessions(bench: Any) -> None:
    bench.sessions.start(spec(), {})
    assert watchdog.perform(Kill("a-1"), bench.hands) == []
    assert bench.sessions.open() == []


def test_a_look_that_failed_is_repeated_later() -> None:
    assert watchdog.refused(Kill("a-1"), SwarmError("no")) == []


# --- accounts ---


class Account:
    """A proxy's account that says this once."""

    def __init__(self, *totals: Spend) -> None:
        self.new = list(totals)

    def totals(self) -> list[Spend]:
        found, self.new = self.new, []
        return found


def test_the_proxys_account_is_read_when_there_is_one_and_somebody_to_account_for(h: History) -> None:
    h.to("gate_requested")
    assert deeds(watchdog.due(h.board(), h.now))[-1:] != [ReadSpend((("a-1", "a", 1),))]
    h.run("run-2", spend_log="/spend.jsonl")
    assert deeds(watchdog.due(h.board(), h.now))[-1] == ReadSpend((("a-1", "a", 1),))


def test_what_the_proxy_says_is_taken_over_for_known_sessions(bench: Any) -> None:
    account = Account(Spend("a-1", "m", 2, 100, 10, 5, 0.5), Spend("someone-else", "m", 9, 9, 9, 9, None))
    hands = msgspec.structs.replace(bench.hands, spend=account)
    (said,) = watchdog.perform(ReadSpend((("a-1", "a", 1),)), hands)
    assert (said.subject, said.fact) == ("a", UsageReported("a-1", 1, "m", "proxy", 2, 100, 10, 5, 0.5))
    assert watchdog.perform(ReadSpend((("a-1", "a", 1),)), hands) == []


# --- letters ---


def test_a_letter_to_an_agent_that_is_not_at_work_is_dead_and_sender_and_person_are_told_once(h: History) -> None:
    h.to("landed")
    h.add(IssueClosed(h.generation("a")), "a")
    letter = h.letter("agent-builder-1", source="agent/kim", body="Are you there?", kind="help_request")
    (_, notice), (about, dead) = due(h)
    assert (about, dead) == (letter, MailDeadLettered(letter, "agent-builder-1", "builder-1 is not at work"))
    assert isinstance(notice, MailSent)
    assert (notice.to, notice.kind, notice.reply_to) == (["agent-kim", "human"], "event", letter)
    assert "Are you there?" in notice.body
    take_all(h)
    assert [type(fact) for _, fact in due(h)] == [MailDeadLettered], "the notice to kim, who is gone too"
    take_all(h)
    assert due(h) == [], "no notice of a notice"


def test_a_letter_to_an_agent_at_work_waits(h: History) -> None:
    h.to("started")
    h.letter("agent-builder-1")
    assert due(h) == []


def test_a_letter_that_was_read_is_not_dead(h: History) -> None:
    h.to("started")
    letter = h.letter("agent-builder-1")
    h.add(MailDelivered(letter, "agent-builder-1"), letter)
    h.to("landed")
    h.add(IssueClosed(h.generation("a")), "a")
    assert due(h) == []


def test_a_letter_to_an_issue_that_is_done_is_dead(h: History) -> None:
    h.letter("issue:a")
    assert due(h) == []
    h.add(IssueClosed(h.generation("a")), "a")
    assert [type(fact) for _, fact in due(h)] == [MailSent, MailDeadLettered]


def test_pains_5_a_letter_to_a_group_is_dead_once_nobody_is_at_work_whom_it_reached(h: History) -> None:
    h.to("started")
    letter = h.letter("@builders", body="Who is there?")
    assert due(h) == [], "it waits for the one whom it reached"
    h.to("landed")
    (_, notice), (about, dead) = due(h)
    assert (about, dead) == (letter, MailDeadLettered(letter, "@builders", "it reached no builder who is at work"))
    assert isinstance(notice, MailSent)
    assert (notice.to, "Who is there?" in notice.body) == (["human"], True)
    assert [command.cause for command in watchdog.due(h.board(), h.now) if isinstance(command, Decide)] == [letter] * 2
    take_all(h)
    assert due(h) == []


def test_pains_3_a_letter_to_a_group_that_one_of_them_had_is_settled(h: History) -> None:
    h.to("started")
    letter = h.letter("@builders", "broadcast")
    h.add(MailDelivered(letter, "agent-builder-1"), letter)
    h.to("landed")
    assert due(h) == []


def test_letters_to_the_watchdog_are_taken_note_of(h: History) -> None:
    letter = h.letter("watchdog")
    assert due(h) == [(letter, MailAcked(letter, "watchdog"))]


@pytest.mark.parametrize("policy", ["skip", "stop", "reopen", "resolve"])
def test_what_conflicts_is_held_or_tried_again_as_the_settings_say(policy: str) -> None:
    h = History()
    h.run(merge=MergePolicy(on_conflict=policy))
    h.issue("a")
    h.to("queued", "a")
    h.add(MergeConflicted(1, BASE, ["x"]), "a")
    ((_, fact),) = decided(watchdog.due(h.board(), h.now))
    assert isinstance(fact, IssueHeld if policy in ("skip", "stop") else AttemptRetried)
    assert "conflict in x" in fact.reason


def test_what_a_person_took_out_of_the_queue_is_held(h: History) -> None:
    h.to("queued", "a")
    h.add(MergeDropped(1, "not that one"), "a")
    ((_, fact),) = decided(watchdog.due(h.board(), h.now))
    assert fact == IssueHeld(h.generation("a"), "taken out of the merge queue: not that one", 1)
