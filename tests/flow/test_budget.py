"""Budgets and alerts in whole runs: what the proxy writes down ends an agent in the middle, and its work is kept."""

import json
import os
import signal
from pathlib import Path

import pytest

from stage import Stage
from waiting import PATIENCE, until

HALF = "echo half > half.txt; touch \"$SWARM_LOG/../half\"; trap '' TERM; while :; do sleep 0.1; done"


def spend(stage: Stage, session: str, cost: float | None, model: str = "kimi-k2") -> None:
    """The proxy writes one call down."""
    line = {"ok": True, "model_group": model, "tags": [f"session={session}"], "input_tokens": 1000, "output_tokens": 9}
    with (stage.root / "spend.jsonl").open("a") as file:
        file.write(json.dumps(line | {"cost": cost}) + "\n")


def settings(stage: Stage, text: str) -> None:
    (stage.root / "swarm.toml").write_text(f'{text}\n[llm]\nspend_log = "spend.jsonl"\n')


def test_an_agent_over_the_budget_is_ended_its_work_kept_and_its_issue_left_open(stage: Stage) -> None:
    settings(stage, '[[budgets]]\nscope = "run"\nusd = 5.0\n')
    issue = stage.issue("Half way", HALF)
    other = stage.issue("Later", "echo b > b.txt")
    started = stage.background("--until-idle", "--max-agents", "1")
    until((stage.log.parent / "half").exists, what="the agent's file")
    spend(stage, f"{issue}-1", 4.5)
    stage.wait_for("budget.warned")
    until(lambda: (stage.root / ".swarm/costs/current_spend").read_text() == "4.500000\n")
    assert stage.swarm("budget").code == 0
    spend(stage, f"{issue}-1", 0.75)
    assert started.wait(PATIENCE) == 1
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:half.txt") == "half"
    assert (stage.root / ".swarm/worktrees" / f"{issue}-1").exists(), "what did not land stays for a look"
    assert stage.git("status", "--porcelain", "--", ".swarm") == ""
    assert [stage.row(one)["status"] for one in (issue, other)] == ["open", "open"]
    assert stage.row(other)["attempts"] == 0
    assert len(stage.events("budget.exceeded")) == len(stage.events("budget.warned")) == 1
    [called_off] = stage.events("attempt.cancelled")
    assert called_off.data.reason.endswith("$5.25 of $5.00 are used")
    assert not stage.events("attempt.retried")
    shown = stage.swarm("budget")
    assert shown.code == 1
    assert "105 %" in shown.out
    done = stage.swarm("replay", "--verify")
    assert done.code == 0, done.out
    assert stage.swarm("log", "verify").code == 0


def test_a_run_that_may_not_go_on_says_why_and_goes_on_when_more_is_allowed(stage: Stage) -> None:
    settings(stage, '[[budgets]]\nscope = "day"\nusd = 1.0\n')
    issue = stage.issue("Think", f"printf x; sleep 0.2; {_calls(2.0)}")
    done = stage.start()
    assert done.code == 0, done.out  # what was done within the budget lands; the report came too late to end it
    later = stage.issue("Write b", "echo b > b.txt")
    done = stage.start()
    assert done.code == 1
    assert f"{later}  open" in done.out
    assert "$2.00 of $1.00 are used" in done.out
    assert "swarm budget raise day:" in done.out
    stage.background()
    stage.wait_for("run.started", 3)
    assert stage.row(later)["attempts"] == 0
    assert stage.swarm("budget", "raise", "day", "--usd", "5").code == 0
    stage.wait_for("issue.closed", 2)
    assert stage.row(issue)["status"] == stage.row(later)["status"] == "done"


def _calls(cost: float) -> str:
    """A body that does its work, and whose calls the proxy wrote down."""
    line = {"ok": True, "model_group": "m", "input_tokens": 1, "output_tokens": 1, "cost": cost}
    text = json.dumps(line).replace('"', '\\"')[:-1]
    tags = '\\"tags\\": [\\"session=$SWARM_SESSION\\"]'
    return f'echo "{text}, {tags}}}" >> "$SWARM_LOG/../../../spend.jsonl"; echo a > c.txt'


def test_a_limit_of_the_environment_and_what_was_spent_outside(stage: Stage) -> None:
    body = 'echo "$SWARM_BUDGET_MAX $SWARM_CURRENT_SPEND" > told.txt'
    stage.issue("Tell", body)
    assert stage.start(SWARM_BUDGET_MAX="3").code == 0
    assert (stage.root / "told.txt").read_text() == "3.000000 0.000000\n"
    assert stage.swarm("budget", SWARM_BUDGET_MAX="3", SWARM_CURRENT_SPEND="2.9").code == 0
    over = stage.swarm("budget", "--json", SWARM_BUDGET_MAX="3", SWARM_CURRENT_SPEND="3")
    assert over.code == 1
    assert [(row["unit"], row["spent"], row["over"]) for row in json.loads(over.out)] == [("usd", 3.0, True)]
    refused = stage.start(SWARM_BUDGET_MAX="lots")
    assert refused.code == 2
    assert "SWARM_BUDGET_MAX" in refused.err


def hook(stage: Stage, text: str) -> str:
    path = stage.root.parent / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_run_tells_of_what_failed_and_of_its_own_end_before_it_ends(stage: Stage) -> None:
    told = stage.root.parent / "told"
    calls = hook(stage, f'printf "%s %s\\n" "$1" "$2" >> {told}')
    issue = stage.issue("Break it", "rm a.txt")
    assert stage.start("--test", "test -f a.txt", "--max-retries", "0", SWARM_ALERT_HOOK=calls).code == 1
    kinds = [line.split()[0] for line in told.read_text().splitlines()]
    assert sorted(kinds) == ["pipeline_failed", "retry_exhausted", "tests_failed"]
    assert f"{issue}: " in told.read_text()
    assert len(stage.events("alert.raised")) == len(stage.events("alert.delivered")) == 3
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


def test_nobody_waits_for_a_hook_that_hangs_and_the_next_run_tries_again(stage: Stage) -> None:
    told = stage.root.parent / "told"
    calls = hook(stage, "sleep 600")
    stage.issue("Break it", "rm a.txt")
    stage.issue("Good", "echo b > b.txt")
    done = stage.start("--test", "test -f a.txt", "--max-retries", "0", SWARM_ALERT_HOOK=calls)
    assert done.code == 1
    assert "b.txt" in stage.files()
    assert {event.data.error for event in stage.events("alert.failed")} == {f"{calls} did not end within 5 s"}
    Path(calls).write_text(f'#!/bin/sh\necho "$1" >> {told}\n')
    stage.start(SWARM_ALERT_HOOK=calls)
    assert {"tests_failed", "retry_exhausted", "pipeline_failed"} <= set(told.read_text().split())


def test_a_swarm_that_is_killed_before_it_told_leaves_that_to_the_next(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, hangs = stage.root.parent / "told", stage.root.parent / "hangs"
    calls = hook(stage, f"echo $$ > {hangs}; exec sleep 600")
    monkeypatch.setenv("SWARM_ALERT_HOOK", calls)
    stage.issue("Break it", "rm a.txt")
    started = stage.background("--test", "test -f a.txt", "--max-retries", "0")
    hook_pid = until(lambda: hangs.exists() and hangs.read_text(), PATIENCE, "the hook to be called")
    started.kill()
    started.wait()
    os.kill(int(hook_pid), signal.SIGKILL)
    assert stage.events("alert.raised")
    assert not stage.events("alert.delivered")
    assert hook(stage, f'echo "$1" >> {told}') == calls
    stage.start()
    assert "tests_failed" in told.read_text().split()
