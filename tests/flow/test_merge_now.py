"""`swarm merge`: a person lands what waits, without a run of agents, and steers a queue that a run works on."""

import json
from pathlib import Path

import pytest

from stage import Result, Stage
from waiting import until


def snapshot(stage: Stage) -> tuple[object, ...]:
    """The log's bytes, the refs, the objects, and the folders of the swarm."""
    files = {path: path.read_bytes() for path in stage.log.rglob("*") if path.is_file()}
    objects = sorted(path for path in (stage.root / ".git" / "objects").rglob("*") if path.is_file())
    trees = sorted(path for path in (stage.root / ".swarm").rglob("*") if "/log" not in str(path))
    refs = stage.git("for-each-ref", "--format=%(refname) %(objectname)")
    return files, objects, trees, refs, stage.git("status", "--porcelain")


def rejected(stage: Stage, *works: tuple[str, str]) -> list[str]:
    """Issues whose work waits to be landed again: the tests failed at first."""
    issues = [stage.issue(title, body) for title, body in works]
    assert stage.start("--test", "exit 1", "--max-retries", "0").code == 1
    return issues


def clash(stage: Stage) -> tuple[str, str]:
    """Two issues that write one file, and nothing has landed; of the second the work was rejected."""
    first, second = rejected(stage, ("One", "echo one > x.txt"), ("Two", "echo two > x.txt"))
    assert stage.files() == {"a.txt"}
    return first, second


def now(stage: Stage, *args: str) -> Result:
    return stage.swarm("merge", "now", *args)


# --- now ---


def test_where_nothing_waits_nothing_is_done(stage: Stage) -> None:
    stage.issue("Not yet begun", "echo b > b.txt")
    done = now(stage)
    assert (done.code, "idle: 0 landed" in done.out) == (0, True)
    assert not stage.events("issue.assigned")
    assert stage.files() == {"a.txt"}


def test_what_was_rejected_lands_once_it_is_retried_and_its_tests_pass(stage: Stage) -> None:
    (issue,) = rejected(stage, ("Write b", "echo b > b.txt"))
    work = stage.events("work.secured")[0].data.commit
    offered = now(stage, "--all", "--test", "test -f b.txt")
    assert (offered.code, "idle: 1 landed" in offered.out) == (0, True), offered.out
    assert stage.files() == {"a.txt", "b.txt"}
    assert [e.data.work for e in stage.events("issue.assigned")] == ["", work]
    assert [e.data.kind for e in stage.events("session.requested")].count("agent") == 1
    assert stage.row(issue)["status"] == "done"
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


def test_what_failed_attempts_left_is_tested_as_it_is_and_may_fail_again(stage: Stage) -> None:
    (issue,) = rejected(stage, ("Write b", "echo b > b.txt"))
    done = now(stage, "--all", "--test", "test -f other.txt")
    assert done.code == 1
    assert stage.files() == {"a.txt"}
    assert f"{issue}  open        Write b: the tests fail (exit code 1)" in done.out
    assert stage.row(issue)["status"] == "open", "an agent may try again"


def test_completed_leaves_alone_what_failed(stage: Stage) -> None:
    rejected(stage, ("Write b", "echo b > b.txt"))
    before = len(stage.events("issue.reopened"))
    assert now(stage, "--completed").code == 0
    assert len(stage.events("issue.reopened")) == before
    assert now(stage, "--completed", "--all").code == 2


@pytest.mark.parametrize("policy", ["stop", "skip", "reopen"])
def test_what_becomes_of_a_conflict_is_chosen(stage: Stage, policy: str) -> None:
    issues = clash(stage)
    third = rejected(stage, ("Three", "echo 3 > y.txt"))[0]
    done = now(stage, "--all", "--test", "true", "--on-conflict", policy)
    assert done.code == 1
    (second,) = [event.subject for event in stage.events("merge.conflicted")]
    (first,) = set(issues) - {second}
    assert stage.git("show", "main:x.txt") == ("one" if first == issues[0] else "two")
    assert stage.row(first)["status"] == "done"
    assert f"{second}  conflicted" in done.out
    assert "x.txt" in done.out
    held = [event.data.issue for event in stage.events("queue.held")]
    assert held == ([second] if policy == "stop" else [])
    assert ("to go on: swarm merge now" in done.out) == (policy == "stop")
    assert stage.row(second)["status"] == ("open" if policy == "reopen" else "blocked")
    if policy != "stop":
        assert stage.row(third)["status"] == "done"
    else:
        now(stage, "--test", "true")
        assert stage.row(third)["status"] == "done", "it goes on with the others"
    assert stage.swarm("replay", "--verify").code == 0


def test_an_agent_resolves_a_conflict_and_its_result_is_tested(stage: Stage) -> None:
    resolve = "if grep -q '<<<<' x.txt; then sleep 1; printf 'one\\ntwo\\n' > x.txt; else echo %s > x.txt; fi"
    first, second = rejected(stage, ("One", resolve % "one"), ("Two", resolve % "two"))
    other = stage.issue("Not begun", "echo z > z.txt")
    done = now(stage, "--all", "--test", "grep -q one x.txt || grep -q two x.txt", "--on-conflict", "resolve")
    assert done.code == 0, done.out
    assert stage.git("show", "main:x.txt") == "one\ntwo"
    assert [stage.row(issue)["status"] for issue in (first, second, other)] == ["done", "done", "open"]
    (resolved,) = stage.events("conflict.resolved")
    assert resolved.data.dropped == []
    assert done.out.endswith("idle: 2 landed\n")
    assert stage.swarm("replay", "--verify").code == 0


def test_it_lands_on_the_branch_that_it_is_told(stage: Stage) -> None:
    rejected(stage, ("Write b", "echo b > b.txt"))
    stage.git("branch", "staging")
    done = now(stage, "--all", "--test", "true", "--target", "staging")
    assert done.code == 0, done.out
    assert (stage.files("staging"), stage.files()) == ({"a.txt", "b.txt"}, {"a.txt"})


def test_a_gate_that_is_missing_holds_the_queue_and_says_how_to_go_on(stage: Stage) -> None:
    rejected(stage, ("Write b", "echo b > b.txt"))
    done = now(stage, "--all", "--test", "no-such-program")
    assert done.code == 1
    assert "the queue is held: the test command could not be run (exit code 127)" in done.out
    assert "to go on: swarm merge now" in done.out
    shown = stage.swarm("status").out
    assert "the queue is held: the test command could not be run" in shown
    assert "$ swarm merge now" in shown
    assert stage.files() == {"a.txt"}
    mended = now(stage, "--test", "test -f b.txt")
    assert (mended.code, stage.files()) == (0, {"a.txt", "b.txt"})
    assert "held" not in stage.swarm("status").out


def test_what_landed_is_validated_and_taken_out_again(stage: Stage) -> None:
    (issue,) = rejected(stage, ("Write b", "echo b > b.txt"))
    tip = stage.git("rev-parse", "main^{tree}")
    judged = ("--validate", "test ! -f b.txt", "--rollback-on-validate-fail")
    done = now(stage, "--all", "--test", "true", *judged)
    assert done.code == 1, done.out
    assert f"{issue}  reverted" in done.out
    assert stage.git("rev-parse", "main^{tree}") == tip
    assert stage.row(issue)["status"] == "open"


def test_agents_that_are_still_at_work_are_left_alone(stage: Stage) -> None:
    (done,) = rejected(stage, ("Write b", "echo b > b.txt"))
    stage.issue("Slow", "until test -e ../go; do sleep 0.05; done; echo c > c.txt")
    started = stage.background("--until-idle")
    stage.wait_for("session.started", 3)
    started.kill()
    started.wait()
    landed = now(stage, "--all", "--test", "true")
    assert landed.code == 0, landed.out
    assert stage.row(done)["status"] == "done"
    assert stage.files() == {"a.txt", "b.txt"}
    assert not stage.events("session.kill_requested")
    (stage.root / ".swarm/worktrees/go").touch()
    assert stage.start().code == 0
    assert "c.txt" in stage.files()


# --- where a swarm runs ---


def test_a_queue_that_a_running_swarm_holds_goes_on(stage: Stage) -> None:
    ready = stage.root / "ready"
    issue = stage.issue("Write b", "echo b > b.txt")
    stage.background("--test", f"test -f {ready} || exit 127")
    stage.wait_for("queue.held")
    assert stage.json("status")["held"].endswith("mend it, then run `swarm merge now`")
    again = now(stage, "--test", "true")
    assert (again.code, "runs, with settings of its own" in again.err) == (2, True)
    ready.touch()
    going = now(stage)
    assert (going.code, "goes on" in going.out) == (0, True)
    stage.wait_for("issue.closed")
    assert stage.row(issue)["status"] == "done"
    assert "lands what waits by itself" in now(stage).out


def test_work_that_is_dropped_while_it_is_tested_does_not_land(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    other = stage.issue("Write c", "echo c > c.txt")
    gate = "case $PWD in */merger*) while [ -e b.txt ] && [ ! -e ../go ]; do sleep 0.05; done;; esac"
    stage.background("--test", gate)
    until(lambda: any(e.data.kind == "landing" for e in stage.events("session.started")), what="the test")
    dropped = stage.swarm("merge", "drop", issue, "--reason", "not wanted")
    assert dropped.code == 0
    assert f"swarm work show {issue}-1" in dropped.out
    until(lambda: stage.row(issue)["status"] == "blocked", what="the issue to be held")
    until(lambda: stage.row(other)["status"] == "done", what="the other one to land")
    assert stage.files() == {"a.txt", "c.txt"}
    assert "b.txt" in stage.files(stage.events("work.secured", issue)[0].data.commit)
    assert stage.swarm("merge", "drop", issue).code == 2
    assert stage.swarm("replay", "--verify").code == 0


# --- dry-run ---


def test_a_dry_run_says_who_is_tested_together_and_what_conflicts_and_changes_nothing(stage: Stage) -> None:
    first, second = clash(stage)
    (stage.root / "x.txt").write_text("mine\n")
    stage.git("add", "x.txt")
    stage.git("commit", "-qm", "mine")
    before = snapshot(stage)
    done = now(stage, "--all", "--dry-run", "--test", "make test")
    assert done.code == 1
    assert f"{first}: conflict in x.txt (stop)" in done.out
    assert f"{second}: its work is tested by itself first" in done.out
    assert snapshot(stage) == before
    nothing = now(stage, "--dry-run")
    assert (nothing.code, nothing.out) == (0, "nothing waits to land\n")
    assert snapshot(stage) == before


def test_a_dry_run_of_what_waits_shows_its_batches(stage: Stage) -> None:
    names = [stage.issue(f"Write {name}", f"echo {name} > {name}") for name in ("b", "c", "d")]
    clashing = stage.issue("Write d too", "sleep 0.2; echo other > d")
    assert stage.start("--max-agents", "4", "--test", "case $PWD in */merger*) exit 127;; esac").code == 1
    before = snapshot(stage)
    done = now(stage, "--dry-run", "--json")
    assert done.code == 0
    assert snapshot(stage) == before
    document = json.loads(done.out)
    assert sorted(issue for batch in document["batches"] for issue in batch) == sorted([*names, clashing])
    assert not [batch for batch in document["batches"] if {names[2], clashing} <= set(batch)]
    assert (document["target"], document["tip"], document["conflicts"]) == ("main", stage.git("rev-parse", "main"), {})
    listed = stage.swarm("merge", "list").out
    assert "the queue is held" in listed
    assert all(name in listed for name in names)
    assert now(stage).code == 1, "two of them write one file"
    assert set(names) | {clashing} > {row["issue"] for row in stage.json("merge", "list")["merges"]}


def test_a_dry_run_knows_of_what_its_own_test_could_not_judge(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--test", "exit 127").code == 1
    done = now(stage, "--dry-run", "--test", "true")
    assert (done.code, done.out) == (0, f"{issue}: its work is tested by itself first, and then queued\n")
    assert now(stage, "--test", "true").code == 0
    assert stage.row(issue)["status"] == "done"
    assert now(stage, "--dry-run").out == "nothing waits to land\n"


def test_without_dry_run_there_is_no_document(stage: Stage) -> None:
    assert now(stage, "--json").code == 2
    assert not Path(stage.root / ".git/swarm/run.lock").exists()
