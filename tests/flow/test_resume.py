"""`kill -9` of `swarm start` at any point, and start again: nothing runs twice, lands twice, or is lost."""

import os
import random
import signal
import subprocess
from collections import Counter
from itertools import pairwise

import pytest

from stage import Stage
from waiting import PATIENCE, until


def kill(process: "subprocess.Popen[bytes]") -> None:
    """The hard way."""
    process.kill()
    process.wait()


def check_once(stage: Stage, issues: list[str]) -> None:
    """Each attempt was assigned once, ran once and landed once, and each batch stands on the one before."""
    assigned = Counter((e.subject, e.data.attempt) for e in stage.events("issue.assigned"))
    assert set(assigned.values()) == {1}
    started = Counter(e.data.session for e in stage.events("session.started"))
    assert set(started.values()) == {1}
    ran = Counter((stage.root.parent / "ran").read_text().split())
    agents = {e.data.session for e in stage.events("session.started") if e.data.kind == "agent"}
    assert ran == Counter(dict.fromkeys(agents, 1))
    assert sorted(e.subject for e in stage.events("merge.landed")) == sorted(issues)
    landed = {e.data.commit: e for e in stage.events("merge.landed")}  # a batch lands as one
    first_parents = stage.git("rev-list", "--first-parent", "main").split()
    assert len(first_parents) == len(landed) + 1
    for newer, older in pairwise(first_parents):
        assert landed[newer].data.base == older


def script(stage: Stage, name: str, pause: str = "sleep 0.3") -> str:
    """An agent that says that it ran, takes its time, and writes one file."""
    return f'echo "$SWARM_SESSION" >> {stage.root.parent}/ran; {pause}; echo {name} > {name}.txt'


def held_up(stage: Stage) -> str:
    """An agent that takes its time until it is told to `go_on`."""
    return script(stage, "b", f"until test -e {stage.root.parent}/go; do sleep 0.05; done")


def go_on(stage: Stage) -> None:
    (stage.root.parent / "go").touch()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_the_run_still_ends_as_if_nothing_had_happened(stage: Stage, seed: int) -> None:
    """Pains 19 and 21, at points drawn by the seed."""
    chance = random.Random(seed)
    issues = [stage.issue(f"Write {name}", script(stage, name)) for name in "bcde"]
    for _ in range(5):
        process = stage.background("--until-idle", "--max-agents", "2", "--test", "test -f a.txt")
        goal = len(stage.events()) + chance.randint(1, 25)
        until(lambda: len(stage.events()) >= goal or process.poll() is not None)  # noqa: B023
        kill(process)
    done = stage.start("--max-agents", "2", "--test", "test -f a.txt")
    assert done.code == 0, done.out + done.err
    assert {"a.txt", "b.txt", "c.txt", "d.txt", "e.txt"} == stage.files()
    check_once(stage, issues)


def test_agents_outlive_the_swarm_and_are_taken_over(stage: Stage) -> None:
    issue = stage.issue("Slow", held_up(stage))
    process = stage.background()
    host = stage.wait_for("session.started")[0].data
    kill(process)
    assert os.path.exists(f"/proc/{host.pid}")
    again = stage.background("--until-idle")
    stage.wait_for("run.started", 2)
    go_on(stage)
    assert again.wait(PATIENCE) == 0
    check_once(stage, [issue])
    assert stage.events("session.exited")[0].data.code == 0


def test_an_agent_that_ends_while_no_swarm_runs_is_known_by_its_own_host(stage: Stage) -> None:
    stage.issue("Short", script(stage, "b", "sleep 0.5"))
    process = stage.background()
    stage.wait_for("session.started")
    kill(process)
    exited = stage.wait_for("session.exited")[0]
    assert exited.source.startswith("session/")
    assert stage.start().code == 0
    assert "b.txt" in stage.files()


def test_an_agent_whose_host_was_killed_is_lost_and_its_issue_tried_again(stage: Stage) -> None:
    """Pain 8: dead is seen from the process itself."""
    issue = stage.issue("Slow", held_up(stage))
    process = stage.background("--until-idle")
    started = stage.wait_for("session.started")[0].data
    os.kill(started.host_pid, signal.SIGKILL)
    go_on(stage)
    assert process.wait(PATIENCE) == 0
    assert stage.events("session.lost")
    assert stage.row(issue)["attempts"] == 2
    assert "b.txt" in stage.files()


def test_a_second_swarm_on_the_same_repository_says_who_runs(stage: Stage) -> None:
    stage.issue("Slow", "sleep 30")
    process = stage.background()
    stage.wait_for("run.started")
    second = stage.start()
    assert second.code == 2
    assert f"pid {process.pid}" in second.err
    assert stage.json("status")["running"] is True
    assert stage.swarm("stop", "--now").code == 0
    assert process.wait(PATIENCE) == 0
    assert stage.json("status")["running"] is False


def test_stop_leaves_agents_at_work_and_start_takes_them_over(stage: Stage) -> None:
    stage.issue("Slow", held_up(stage))
    detached = stage.swarm("start", "--detach")
    assert detached.code == 0, detached.err
    stage.wait_for("session.started")
    stopped = stage.swarm("stop")
    assert stopped.code == 0
    assert "1 sessions work on" in stopped.out
    go_on(stage)
    assert stage.start().code == 0
    assert "b.txt" in stage.files()
    assert len(stage.events("session.started")) == 1


def test_interrupted_the_swarm_says_so_and_exits_130(stage: Stage) -> None:
    stage.issue("Slow", "sleep 30")
    process = stage.background()
    stage.wait_for("session.started")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert stage.events("run.stopped")[-1].data.code == 130
