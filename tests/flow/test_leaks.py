"""Agents that work in the person's checkout instead of their own worktree (pain 26), through `swarm start`."""

from pathlib import Path

from swarm.eventlog.fact import Event

from stage import Stage
from waiting import PATIENCE, until

HOME = 'cd "$(git rev-parse --git-common-dir)/.."'
"""An agent leaves its worktree for the person's checkout."""


def leaks(stage: Stage, issue: str) -> list[Event[object]]:
    return stage.events("leak.detected", issue)


def test_an_agent_that_commits_to_the_main_checkout_is_held_until_a_person_clears_it(stage: Stage) -> None:
    body = (
        f"echo b > b.txt; git add -A; git commit -qm fine; {HOME}; echo x > x.txt; git add x.txt; git commit -qm leaked"
    )
    issue = stage.issue("Leak a commit", body)
    done = stage.start("--test", "true")
    assert (done.code, f"swarm work clear {issue}" in done.out) == (1, True)
    (leak,) = leaks(stage, issue)
    assert "builder-1 made" in leak.data.evidence  # type: ignore[attr-defined]
    assert not stage.events("batch.formed")
    assert "b.txt" not in stage.files()
    (row,) = stage.json("work", "list")
    assert row["why"].startswith("held: builder-1 made")
    refused = stage.swarm("work", "clear", issue, SWARM_AGENT="builder-1")
    assert (refused.code, "only a person" in refused.err) == (2, True)
    assert [stage.swarm("work", "clear", issue).code for _ in "12"] == [0, 0]
    assert stage.start("--test", "true").code == 0
    assert {"b.txt", "x.txt"} <= stage.files()


def test_an_agent_that_writes_its_work_into_the_main_checkout_too_is_held(stage: Stage) -> None:
    issue = stage.issue("Write twice", f"echo same > b.txt; {HOME}; echo same > b.txt")
    assert stage.start().code == 1
    (leak,) = leaks(stage, issue)
    assert leak.data.evidence == "b.txt as in its work"  # type: ignore[attr-defined]
    assert leak.data.files == ["b.txt"]  # type: ignore[attr-defined]
    assert not stage.events("batch.formed")


def test_of_a_checkout_that_was_dirty_only_what_the_agent_changed_is_told_and_held_against_it(stage: Stage) -> None:
    for name in ("a.txt", "b.txt"):  # b.txt is already as the agent will make it
        (stage.root / name).write_text("same\n")
    (stage.root / "new").mkdir()
    (stage.root / "new" / "mine").write_text("mine\n")
    issue = stage.issue("Write more", f"echo same > b.txt; {HOME}; echo more >> a.txt; echo x > new/leak")
    assert "landing.held" in stage.start().out
    (leak,) = leaks(stage, issue)
    assert (leak.data.evidence, leak.data.files) == ("", ["a.txt", "new/leak"])  # type: ignore[attr-defined]


def test_what_is_held_for_a_leak_may_be_begun_anew_instead(stage: Stage) -> None:
    issue = stage.issue("Leak once", f'echo same > b.txt; test "${{SWARM_SESSION##*-}}" = 2 || cp b.txt {HOME[3:]}/')
    assert stage.start().code == 1
    row = stage.row(issue)
    assert row["status"] == "blocked"
    assert "b.txt as in its work" in stage.json("issue", "show", issue)["reason"]
    (stage.root / "b.txt").unlink()
    reopened = stage.swarm("issue", "reopen", issue)
    assert reopened.code == 0, reopened.err
    assert stage.start().code == 0
    assert (stage.row(issue)["status"], stage.row(issue)["attempts"]) == ("done", 2)
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:b.txt") == "same"


def test_an_agent_that_deletes_files_outside_its_worktree_is_told_of_and_nobody_is_accused(stage: Stage) -> None:
    issue = stage.issue("Delete", f"echo b > b.txt; {HOME}; rm a.txt")
    assert stage.start().code == 0
    (leak,) = leaks(stage, issue)
    assert (leak.data.evidence, leak.data.files) == ("", ["a.txt"])  # type: ignore[attr-defined]
    assert "b.txt" in stage.files()


def test_a_person_who_works_meanwhile_holds_nobody_up(stage: Stage) -> None:
    issue = stage.issue("Slow", "echo b > b.txt; until test -e ../go; do sleep 0.05; done")
    started = stage.background("--until-idle")
    stage.wait_for("session.started")
    (stage.root / "notes.txt").write_text("mine\n")
    stage.git("commit", "-q", "--allow-empty", "-m", "mine too")
    (stage.root / ".swarm/worktrees/go").touch()
    assert started.wait(PATIENCE) == 0
    (leak,) = leaks(stage, issue)
    assert leak.data.evidence == ""  # type: ignore[attr-defined]
    assert "main got" in leak.data.what  # type: ignore[attr-defined]
    assert stage.row(issue)["status"] == "done"


def test_what_the_swarm_lands_meanwhile_is_no_leak(stage: Stage) -> None:
    """Also of the same agent: builder-1 is at its next issue while its last one lands."""
    for number in range(4):
        stage.issue(f"Quick {number}", f"echo {number} > {number}.txt")
    slow = stage.issue("Slow", "echo b > b.txt; until test -e ../go; do sleep 0.05; done", "--priority", "1")
    started = stage.background("--until-idle", "--max-agents", "2")
    stage.wait_for("merge.landed", 4)
    (stage.root / ".swarm/worktrees/go").touch()
    assert started.wait(PATIENCE) == 0
    assert stage.row(slow)["status"] == "done"
    assert not stage.events("leak.detected")
    assert len(stage.events("checkout.seen")) == 5


def test_a_checkout_of_a_person_that_is_dirty_all_along_is_no_leak(stage: Stage) -> None:
    (stage.root / "a.txt").write_text("changed\n")
    (stage.root / "b").mkdir()
    Path(stage.root / "b" / "new.txt").write_text("new\n")
    stage.issue("Work", "echo c > c.txt")
    assert stage.start().code == 0
    assert not stage.events("leak.detected")
    until(lambda: not stage.running(), what="all to end")
