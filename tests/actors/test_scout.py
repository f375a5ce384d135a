"""Scout: its last word is its work."""

from typing import Any

import pytest

from swarm.actors import builder, scout
from swarm.actors.attempts import Prepare, Secure
from swarm.actors.command import Command
from swarm.actors.endings import Remove
from swarm.actors.scout import Report
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import FindingsReported, WorkRejected

from history import History, commit, deeds


@pytest.fixture
def s(h: History) -> History:
    """An issue `s` for a scout, assigned."""
    h.issue("s", role="scout")
    h.to("assigned", "s", role="scout", agent="scout-1")
    return h


def due(h: History) -> list[Command]:
    return deeds(scout.due(h.board(), h.now))


def test_a_scout_is_prepared_and_secured_like_everybody(s: History) -> None:
    assert [type(command) for command in due(s)] == [Prepare]
    assert builder.due(s.board(), s.now) == []
    s.to("exited", "s")
    (secure,) = due(s)
    assert isinstance(secure, Secure)
    assert (secure.wip, secure.why) == (True, ""), "kept, but on no branch that could land"


def test_a_builders_attempt_is_left_to_the_builder(h: History) -> None:
    h.to("assigned", "a")
    assert scout.due(h.board(), h.now) == []


def test_its_report_is_the_answer_and_what_it_wrote_goes_no_further(s: History, bench: Any) -> None:
    s.to("exited", "s", report="It is in a.py.")
    cause = s.to("secured", "s", ref="refs/swarm/wip/scout-1/s-1")
    (report,) = due(s)
    assert report == Report("s", 1, "It is in a.py.", cause)
    (said,) = scout.perform(report, bench.hands)
    assert said.fact == FindingsReported(1, "It is in a.py.")
    s.add(said.fact, "s", "scout")
    (remove,) = due(s)
    assert isinstance(remove, Remove)
    assert remove.secured == commit("s-1")


def test_a_scout_without_a_word_has_done_nothing(bench: Any) -> None:
    (said,) = scout.perform(Report("s", 1, " \n", "cause"), bench.hands)
    assert isinstance(said.fact, WorkRejected)
    assert said.fact.reason.startswith("unverified")


def test_a_failing_scout_reports_nothing(s: History) -> None:
    s.to("exited", "s", ok=False, code=1, report="half an answer")
    s.to("secured", "s", ref="refs/swarm/wip/scout-1/s-1")
    s.add(WorkRejected(1, "exit code 1"), "s")
    assert [type(command) for command in due(s)] == [Remove]


def test_what_the_world_refuses_ends_the_attempt(s: History) -> None:
    (said,) = scout.refused(due(s)[0], SwarmError("no room"))
    assert said.fact == WorkRejected(1, "no room")
