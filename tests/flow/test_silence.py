"""Agents that hang, are deaf, or wait, driven through `swarm start` with real processes and little patience."""

from pathlib import Path
from typing import Any

import pytest

from stage import Stage
from waiting import PATIENCE, until

LITTLE = "[patience]\nnudge = 0.01\ninterrupt = 0.03\nkill = 0.01\n"  # minutes; the good ones end before an interrupt


@pytest.fixture
def hasty(stage: Stage) -> Stage:
    """A swarm with little patience."""
    (stage.root / "swarm.toml").write_text(LITTLE)
    return stage


def way(stage: Stage, issue: str, attempt: int) -> list[str]:
    """What was done about the attempt, in order."""
    kinds = ("agent.nudged", "agent.interrupted", "session.kill_requested", "attempt.retried", "issue.held")
    events = (event for event in stage.events(about=issue) if event.type in kinds)
    return [event.type for event in events if event.data.attempt == attempt]


DEAF = "trap '' TERM INT; echo half > half.txt; while :; do sleep 1; done"


def test_a_deaf_silent_agent_is_asked_interrupted_ended_tried_again_and_held_with_the_reason(hasty: Stage) -> None:
    issue = hasty.issue("Hang", DEAF)
    done = hasty.start("--max-retries", "1")
    assert done.code == 1, done.err
    steps = ["agent.nudged", "agent.interrupted", "session.kill_requested"]
    assert way(hasty, issue, 1) == [*steps, "attempt.retried"]
    assert way(hasty, issue, 2) == [*steps, "issue.held"]
    row = hasty.json("issue", "show", issue)
    assert row["status"] == "blocked"
    assert "no sign of life for" in row["reason"]
    assert "though it was asked and interrupted" in row["reason"]
    assert hasty.git("show", f"refs/swarm/wip/builder-1/{issue}-1:half.txt") == "half", "its work is kept"
    assert not hasty.running()
    assert not hasty.events("attempt.cancelled"), "nobody called it off: it failed"
    ends = [event.data for event in hasty.events("session.exited")]
    assert [(end.ended_by, end.code) for end in ends] == [("killed", -9)] * 2, "it ignored all but the last"
    letters = [event for event in hasty.events("mail.sent") if event.source == "watchdog"]
    assert [letter.data.to for letter in letters] == [["agent-builder-1"]] * 2
    assert not hasty.events("usage.reported"), "pain 32: to supervise costs no tokens"
    assert hasty.swarm("log", "verify").code == 0
    assert hasty.swarm("replay", "--verify").code == 0


def test_a_silent_agent_that_heeds_an_interrupt_fails_by_itself_and_the_retry_is_told_why(hasty: Stage) -> None:
    issue = hasty.issue("Hang once", 'test "${SWARM_SESSION##*-}" = 2 || exec sleep 600; echo b > b.txt')
    done = hasty.start("--max-retries", "1")
    assert done.code == 0, done.out
    assert way(hasty, issue, 1) == ["agent.nudged", "agent.interrupted", "attempt.retried"]
    (retried,) = hasty.events("attempt.retried")
    assert "SIGINT" in retried.data.reason
    assert "interrupted: no sign of life" in retried.data.reason
    assert "b.txt" in hasty.files()


def test_pains_7_an_agent_that_waits_for_a_person_is_left_alone(hasty: Stage) -> None:
    gate = hasty.root.parent / "answer"
    issue = hasty.issue(
        "Ask", f"echo 'swarm: waiting for input'; until [ -e {gate} ]; do sleep 0.1; done; echo b > b.txt"
    )
    other = hasty.issue("Hang", "exec sleep 600")
    started = hasty.background("--until-idle", "--max-retries", "0")

    def held() -> Any:
        return [event for event in hasty.events("issue.held") if event.subject == other]

    until(held, what="the silent one to be held, while the other waits")
    assert way(hasty, issue, 1) == []
    state = {row["issue"]: row["state"] for row in hasty.json("agent", "list")}
    assert state[issue] == "waiting_input"
    assert "waiting_input" in hasty.swarm("status").out
    shown = hasty.json("agent", "show", next(r["name"] for r in hasty.json("agent", "list") if r["issue"] == issue))
    assert (shown["process"], shown["printed"]) == ("runs", len("swarm: waiting for input\n"))
    assert shown["logged"]
    gate.write_text("go on")
    assert started.wait(PATIENCE) == 1
    assert hasty.row(issue)["status"] == "done"
    assert "b.txt" in hasty.files()


def test_who_waits_for_longer_than_it_may_is_ended_with_words(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text("[patience]\nlimited = 0.01\n")
    issue = stage.issue("Wait", "echo 'swarm: rate limited'; sleep 600")
    assert stage.start("--max-retries", "0").code == 1
    assert "its provider slowed it down for" in stage.json("issue", "show", issue)["reason"]


def test_without_patience_set_silence_is_no_fault(stage: Stage) -> None:
    stage.issue("Think", "sleep 3; echo b > b.txt")
    assert stage.start().code == 0
    assert not stage.events("agent.nudged")


def test_what_failed_is_tried_again_after_its_pause_and_a_swarm_until_idle_waits_for_it(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text("[retry]\nbackoff = 2.5\n")
    issue = stage.issue("Fail once", 'test "${SWARM_SESSION##*-}" = 2; echo b > b.txt')
    done = stage.start(SWARM_MAX_RETRIES="1")
    assert done.code == 0, done.out
    (retried,) = stage.events("attempt.retried", issue)
    second = stage.events("issue.assigned", issue)[1]
    assert retried.data.after > retried.now + 2.4
    assert second.now >= retried.data.after
    assert second.now < retried.data.after + 20
    assert stage.swarm("replay", "--verify").code == 0


def test_a_bad_number_of_retries_in_the_environment_is_refused(stage: Stage) -> None:
    refused = stage.start(SWARM_MAX_RETRIES="lots")
    assert refused.code == 2
    assert "SWARM_MAX_RETRIES" in refused.err
    assert not stage.events("run.started")


def test_an_agent_that_takes_too_much_is_ended_tried_again_and_held_with_what_it_took(stage: Stage) -> None:
    """Pain 25: one agent must not take the machine from the others."""
    (stage.root / "swarm.toml").write_text("[limits]\nprocesses = 20\nmemory_mb = 300\noutput_mb = 5\n")
    many = stage.issue("Fork", "for i in $(seq 40); do sleep 600 & done; wait")
    loud = stage.issue("Shout", "yes")
    good = stage.issue("Work", "echo b > b.txt")
    assert stage.start("--max-retries", "0", "--test", "test -f a.txt").code == 1
    reasons = {row["id"]: stage.json("issue", "show", row["id"])["reason"] for row in stage.json("issue", "list")}
    assert "processes, and may have 20" in reasons[many]
    assert "it printed more than 5 MB" in reasons[loud]
    assert stage.row(good)["status"] == "done"
    assert not stage.running()


def test_a_test_that_takes_too_much_has_not_judged(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text("[limits]\nprocesses = 20\n")
    issue = stage.issue("Work", "echo b > b.txt")
    done = stage.start("--test", "for i in $(seq 40); do sleep 600 & done; wait")
    assert done.code == 1
    assert "the merge queue is held: the test command was ended: it had " in done.out
    assert "processes, and may have 20, 2 times in a row" in done.out
    row = stage.row(issue)
    assert (row["status"], row["attempts"]) == ("in_progress", 1), "it is no fault of the branch"
    assert Path(stage.root / "b.txt").exists() is False
