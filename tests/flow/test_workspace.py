"""Pain 24: `.env`, `node_modules`, ports: agents get what is not in git, and do not collide."""

import os
from pathlib import Path

from stage import Stage
from waiting import until


def recipe(stage: Stage, text: str) -> None:
    (stage.root / "swarm.toml").write_text(f"[workspace]\n{text}\n")


def beside_git(stage: Stage) -> None:
    """What a person's checkout has that git ignores."""
    exclude = stage.root / ".git" / "info" / "exclude"
    exclude.write_text(exclude.read_text() + ".env\nnode_modules\nran\n")
    (stage.root / ".env").write_text("GREETING=hello\n")
    (stage.root / "node_modules" / "tool").mkdir(parents=True)
    (stage.root / "node_modules" / "tool" / "index.js").write_text("1\n")


def test_a_worktree_gets_copies_and_links_and_is_set_up_once_and_cleaned_up(stage: Stage, tmp_path: Path) -> None:
    beside_git(stage)
    notes = tmp_path / "notes"
    recipe(
        stage,
        f"""
copy = [".env", ".env.local"]
link = ["node_modules"]
setup = "cat .env node_modules/tool/index.js > ran; echo setup $SWARM_ISSUE >> {notes}"
cleanup = "test -f ran && echo cleanup $SWARM_ISSUE >> {notes}"
""",
    )
    body = ". ./.env; echo $GREETING > greeting.txt; cat ran >> greeting.txt; echo MINE=1 >> .env"
    issue = stage.issue("Greet", body)
    done = stage.start("--test", "test -f ran -a -f .env -a -L node_modules")
    assert done.code == 0, done.out
    assert stage.files() == {"a.txt", "greeting.txt"}
    assert (stage.root / "greeting.txt").read_text() == "hello\nGREETING=hello\n1\n"
    assert (stage.root / ".env").read_text() == "GREETING=hello\n"
    assert notes.read_text() == f"setup {issue}\nsetup {issue}\ncleanup {issue}\n"  # twice: where it lands, too
    (prepared,) = stage.events("worktree.prepared")
    assert prepared.data.notes == ["there is no .env.local to copy"]
    assert "there is no .env.local to copy" in stage.swarm("log").out
    kinds = [e.data.kind for e in stage.events("session.requested")]
    assert kinds == ["setup", "agent", "gate", "landing", "cleanup"]
    assert len(stage.events("worktree.removed")) == 1
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


def test_where_setting_up_fails_no_agent_begins_and_the_issue_says_why(stage: Stage) -> None:
    recipe(stage, 'setup = "echo no network; exit 3"\ncleanup = "exit 4"')
    issue = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--max-retries", "1")
    assert done.code == 1
    assert "the setup command failed: exit code 3" in done.out
    row = stage.row(issue)
    assert (row["status"], row["attempts"]) == ("blocked", 2)
    assert stage.events("work.rejected")[0].data.detail == "no network"
    assert {e.data.kind for e in stage.events("session.requested")} == {"setup", "cleanup"}
    assert len(stage.events("worktree.removed")) == 2  # though cleaning up failed
    assert not [name for name in os.listdir(stage.root / ".swarm/worktrees") if name.startswith(issue)]


def test_setting_up_that_hangs_is_ended(stage: Stage) -> None:
    recipe(stage, 'setup = "sleep 600"\nminutes = 0.01')
    stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--max-retries", "0")
    assert done.code == 1
    assert "the setup command failed: it ran longer than 0.6 s" in done.out


def test_two_worktrees_at_work_have_ports_of_their_own(stage: Stage) -> None:
    recipe(stage, "ports = true")
    body = 'echo $SWARM_PORT_0 $SWARM_PORT_9 > "$SWARM_ISSUE.txt"; while [ ! -f ../../../go ]; do sleep 0.05; done'
    issues = [stage.issue(f"Serve {n}", body) for n in (1, 2)]
    started = stage.background("--until-idle", "--max-agents", "2", "--test", 'test "$SWARM_PORT_0"')
    prepared = stage.wait_for("worktree.prepared", 2)
    stage.wait_for("session.started", 2)
    first, second = sorted(event.data.port for event in prepared)
    assert first >= 20_000
    assert second >= first + 10
    (stage.root / "go").write_text("")
    until(lambda: started.poll() is not None, what="the swarm to be done")
    for event in prepared:
        port = event.data.port
        assert stage.git("show", f"main:{event.subject}.txt") == f"{port} {port + 9}"
    assert {event.subject for event in prepared} == set(issues)


def test_what_git_does_not_ignore_is_refused_in_words_and_never_committed(stage: Stage) -> None:
    (stage.root / ".env").write_text("KEY=1\n")
    recipe(stage, 'copy = [".env"]')
    issue = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--max-retries", "0")
    assert done.code == 1
    assert ".env would be committed" in done.out
    assert ".gitignore" in stage.events("work.rejected")[0].data.detail
    assert not (stage.root / f".swarm/worktrees/{issue}-1").exists()
    assert stage.git("log", "--all", "--format=%H", "--", ".env") == ""


def test_paths_outside_of_the_repository_are_refused_before_anything_starts(stage: Stage) -> None:
    recipe(stage, 'copy = ["../secret"]')
    stage.issue("Write b", "echo b > b.txt")
    refused = stage.start()
    assert refused.code == 2
    assert 'workspace.copy: "../secret" is no path within the repository' in refused.err
    assert not stage.events("run.started")


def test_what_lands_and_what_landed_are_tested_with_the_same_copies_links_and_setup(stage: Stage) -> None:
    beside_git(stage)
    setup = "cat .env > ran; echo 1 tests ran"
    recipe(stage, f'copy = [".env"]\nlink = ["node_modules"]\nsetup = "{setup}"\nports = true')
    stage.issue("Write b", "echo b > b.txt")
    ready = 'grep -q hello ran && test -f .env -a -L node_modules -a "$SWARM_PORT_9"'
    done = stage.start("--test", ready, "--validate", ready, "--rollback-on-validate-fail")
    assert done.code == 0, done.out + done.err
    assert stage.files() == {"a.txt", "b.txt"}
    given = {e.data.kind: e.data.port for e in stage.events("session.requested")}
    assert list(given) == ["setup", "agent", "gate", "landing", "validation"]
    assert given["landing"] != given["gate"] == given["setup"]
    assert not [kind for kind, port in given.items() if kind != "agent" and port < 20_000]
    assert stage.swarm("replay", "--verify").code == 0


def test_setting_up_that_fails_where_it_lands_is_no_fault_of_the_branch_and_holds_the_queue(stage: Stage) -> None:
    recipe(stage, """setup = 'test "${PWD##*/}" != merger || { echo no network; exit 3; }'""")
    issue = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--test", "true")
    assert done.code == 1
    tests = [e.data for e in stage.events("batch.tested")]
    assert [(test.verdict, test.code) for test in tests] == [("broken", 126)] * 2
    assert tests[0].output == "no network\nswarm: the setup command failed (exit code 3)"
    held = stage.events("queue.held")[0].data
    assert held.reason.startswith("the setup command failed, so no test was run, 2 times in a row: true")
    assert stage.row(issue)["attempts"] == 1
    (stage.root / "swarm.toml").write_text("")
    assert stage.start("--test", "true").code == 0
    assert stage.row(issue)["status"] == "done"


def test_who_keeps_what_is_to_be_copied_from_that_is_rejected_with_words(stage: Stage) -> None:
    beside_git(stage)
    recipe(stage, 'copy = [".env"]')
    issue = stage.issue("Take it over", "git add -f .env; git commit -qm mine")
    done = stage.start("--test", "true", "--max-retries", "0")
    assert done.code == 1
    assert ".env is in git" in stage.events("merge.rejected", issue)[0].data.reason
    assert not stage.events("queue.held")
    assert stage.row(issue)["attempts"] == 1
    assert stage.files() == {"a.txt"}
