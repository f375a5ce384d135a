"""A provider without quota, and a machine without room: nothing is begun that would fail, no retry is counted, and all
goes on by itself.
"""

from itertools import pairwise
from pathlib import Path

import pytest

from swarm.eventlog.ids import time_of

from stage import Stage
from waiting import PATIENCE, until

REFUSED = 'echo "Claude AI usage limit reached, resets in 2 s"; exit 1'


def refusing(stage: Stage, number: int) -> str:
    """A script whose provider refuses until the file `quota` is there."""
    return f"[ -e {stage.root}/../quota ] || {{ {REFUSED}; }}; echo {number} > {number}.txt"


def provide(stage: Stage) -> None:
    (stage.root / ".." / "quota").touch()


def settings(stage: Stage, text: str) -> None:
    (stage.root / "swarm.toml").write_text(text)


def test_a_refusal_stops_all_dispatches_one_tries_and_all_land_with_no_retry_counted(stage: Stage) -> None:
    """Pain 16: 133 agents were started after the first usage-limit error."""
    made = [stage.issue(f"Write {n}", refusing(stage, n)) for n in range(10)]
    run = stage.background("--until-idle", "--max-agents", "3", "--max-retries", "0")
    stage.wait_for("quota.probed")
    stage.wait_for("quota.exhausted", 4)  # who tried was refused too
    provide(stage)
    assert run.wait(PATIENCE) == 0
    assert stage.files() == {"a.txt", *(f"{n}.txt" for n in range(10))}
    assert {stage.row(issue)["status"] for issue in made} == {"done"}
    assert not stage.events("attempt.retried")
    assert not stage.events("work.rejected")
    first, resumed = stage.events("quota.exhausted")[0], stage.events("quota.resumed")[0]
    between = [e for e in stage.events("issue.assigned") if first.id < e.id < resumed.id]
    assert len(between) == len(stage.events("quota.probed")) < 6
    assert len([e for e in stage.events("issue.assigned") if e.id < first.id]) == 3
    assert len(stage.events("quota.resumed")) == 1
    for refused in stage.events("quota.exhausted"):
        begun = [time_of(e.id) for e in stage.events("issue.assigned") if e.id > refused.id]
        assert min(begun) >= refused.data.until
    assert all("no quota at shell until" in e.data.reason for e in stage.events("attempt.cancelled"))
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


def test_what_waits_says_why_and_the_run_does_not_end_meanwhile(stage: Stage) -> None:
    issue = stage.issue("Write 1", refusing(stage, 1).replace("2 s", "4 hours"))
    run = stage.background("--until-idle")
    until(lambda: stage.row(issue)["status"] == "open" and stage.events("attempt.cancelled"), what="the cancelling")
    waits = stage.row(issue)["waits"]
    assert waits.startswith("no quota at shell until ")
    assert waits.endswith(" UTC")
    assert f"waits: {waits}" in stage.swarm("status").out
    assert f"waits: {waits}" in stage.swarm("issue", "list").out
    assert run.poll() is None
    assert stage.swarm("stop", "--now").code == 0
    assert run.wait(PATIENCE) == 1
    assert len(stage.events("issue.assigned")) == 1


def test_work_that_was_begun_is_kept(stage: Stage) -> None:
    issue = stage.issue("Half way", f"echo half > half.txt; {REFUSED}")
    stage.background("--until-idle")
    stage.wait_for("work.secured")
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:half.txt") == "half"


def test_another_runtime_is_used_meanwhile(stage: Stage) -> None:
    agent = stage.root / ".." / "agent"
    agent.write_text('#!/bin/sh\necho "You\'ve hit your usage limit. Try again in 3 hours." >&2\nexit 1\n')
    agent.chmod(0o755)
    settings(stage, f'[runtimes.pi]\nbinary = "{agent}"\n[routing]\nfallback = ["shell"]\n')
    made = [stage.issue(f"Write {n}", f"echo {n} > {n}.txt", "--runtime", "pi") for n in range(4)]
    assert stage.start("--max-agents", "2", "--max-retries", "0").code == 0
    assert {stage.row(issue)["status"] for issue in made} == {"done"}
    given = [e.data.runtime for e in stage.events("issue.assigned")]
    assert given.count("pi") <= 2
    assert given.count("shell") == 4
    assert [e.subject for e in stage.events("quota.exhausted")][:1] == ["llm"]


def test_a_script_that_met_a_limit_and_went_on_is_no_refusal(stage: Stage) -> None:
    stage.issue("Meet it", "echo '429 Too Many Requests: usage limit reached'; echo b > b.txt")
    assert stage.start().code == 0
    assert not stage.events("quota.exhausted")


# --- admission ---


@pytest.mark.parametrize(
    ("limits", "words"), [("disk_gb = 1e8", "of disk free"), ("memory_gb = 1e8", "of memory free")]
)
def test_nothing_is_begun_on_a_machine_without_room(stage: Stage, limits: str, words: str) -> None:
    settings(stage, f"[admission]\n{limits}\n")
    issue = stage.issue("Write b", "echo b > b.txt")
    run = stage.background("--until-idle")
    stage.wait_for("admission.closed")
    assert words in stage.row(issue)["waits"]
    assert "100000000.00 GB wanted" in stage.swarm("status").out
    assert run.poll() is None
    assert stage.swarm("stop").code == 0
    run.wait(PATIENCE)
    assert not stage.events("issue.assigned")
    assert len(stage.events("admission.closed")) == 1
    settings(stage, "")
    assert stage.start().code == 0
    assert len(stage.events("admission.opened")) == 1


def test_agents_of_a_role_are_limited_and_starts_are_paced(stage: Stage, tmp_path: Path) -> None:
    settings(stage, "[admission]\nrate = 60.0\nroles = { builder = 1 }\n")
    alone = f"mkdir {tmp_path}/busy; sleep 1.5; rmdir {tmp_path}/busy"  # fails where another is at it
    for n in range(3):
        stage.issue(f"Write {n}", f"{alone}; echo {n} > {n}.txt")
    assert stage.start("--max-agents", "3", "--max-retries", "0").code == 0
    begun = [time_of(e.id) for e in stage.events("issue.assigned")]
    assert len(begun) == 3
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(begun))
