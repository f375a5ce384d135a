"""The main job: issues become tested, merged commits, made by several agents at once, and everything is in the log."""

import json
import os
import subprocess

from stage import SWARM, Stage


def test_issues_become_commits_on_the_target(stage: Stage) -> None:
    ids = [stage.issue(f"Write {name}", f"echo {name} > {name}.txt") for name in ("b", "c", "d")]
    done = stage.start("--max-agents", "2", "--test", "test -f a.txt")
    assert done.code == 0, done.out + done.err
    assert {"a.txt", "b.txt", "c.txt", "d.txt"} == stage.files()
    for issue in ids:
        row = stage.row(issue)
        assert row["status"] == "done"
        assert row["attempts"] == 1
        assert row["branch"].startswith("swarm/builder-")
        assert row["commit"] in stage.git("rev-list", "main").split()
    assert stage.git("status", "--porcelain") == ""
    assert (stage.root / "b.txt").read_text() == "b\n"


def test_the_gate_ran_on_the_commit_that_landed_and_on_the_attempts_own(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--test", "git rev-parse HEAD > ../../../seen-$SWARM_SESSION; test -f b.txt").code == 0
    landed = stage.events("merge.landed")[0].data.commit
    gated = stage.events("gate.finished")[0].data.commit
    seen = {path.name: path.read_text().strip() for path in stage.root.glob("seen-*")}
    assert seen[f"seen-{issue}-1-gate"] == gated
    assert seen[f"seen-{stage.events('merge.landed')[0].data.batch}-test-1"] == landed
    assert stage.git("rev-parse", "main") == landed


def test_what_an_agent_commits_itself_and_what_it_leaves_uncommitted_both_land(stage: Stage) -> None:
    stage.issue("Two files", "echo x > x.txt; git add x.txt; git commit -qm mine; echo y > y.txt")
    assert stage.start().code == 0
    assert {"x.txt", "y.txt"} <= stage.files()
    assert "mine" in stage.git("log", "--format=%s", "main").splitlines()
    assert "Two files" in stage.git("log", "--format=%s", "main").splitlines()


def test_an_issue_waits_for_what_it_needs(stage: Stage) -> None:
    first = stage.issue("First", "sleep 0.3; echo 1 > one.txt")
    second = stage.issue("Second", "cat one.txt > two.txt", "--needs", first)
    assert stage.start("--max-agents", "4").code == 0
    assert stage.git("show", "main:two.txt") == "1"
    closed, assigned = stage.events("issue.closed", first)[0], stage.events("issue.assigned", second)[0]
    assert assigned.id > closed.id


def test_never_more_agents_than_allowed(stage: Stage) -> None:
    for number in range(6):
        stage.issue(f"Write {number}", f"sleep 0.2; echo {number} > {number}.txt")
    assert stage.start("--max-agents", "2").code == 0
    running, most = 0, 0
    for event in stage.events():
        running += {"session.started": 1, "session.exited": -1}.get(event.type, 0)
        most = max(most, running)
    assert most == 2
    assert {event.data.agent for event in stage.events("issue.assigned")} == {"builder-1", "builder-2"}


def test_two_changes_of_one_line_conflict_and_the_second_is_done_again_on_the_first(stage: Stage) -> None:
    stage.issue("Say one", "sleep 0.4; echo one >> a.txt")
    stage.issue("Say two", "sleep 0.4; echo two >> a.txt")
    done = stage.start("--max-agents", "2")
    assert done.code == 0, done.out
    assert sorted(stage.git("show", "main:a.txt").split()) == ["a", "one", "two"]
    assert len(stage.events("merge.conflicted")) == 1
    assert len(stage.events("attempt.retried")) == 1


def test_a_target_that_is_checked_out_nowhere_moves_too(stage: Stage) -> None:
    stage.git("branch", "staging")
    stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--target", "staging").code == 0
    assert "b.txt" in stage.files("staging")
    assert "b.txt" not in stage.files("main")
    assert not (stage.root / "b.txt").exists()


def test_a_scouts_report_answers_its_issue_and_its_changes_do_not_land(stage: Stage) -> None:
    issue = stage.issue("What is in a?", "cat a.txt; echo litter > litter.txt", "--role", "scout")
    assert stage.start().code == 0
    assert stage.events("findings.reported", issue)[0].data.text.strip() == "a"
    assert stage.files() == {"a.txt"}
    assert "litter.txt" in stage.files(f"refs/swarm/wip/scout-1/{issue}-1")


def test_a_scout_whose_shell_writes_everywhere_moves_nothing(stage: Stage) -> None:
    """Nobody reads its command line for what looks harmless (pain 27): its commits, on its branch too, are kept and go
    no further, and what it does to the person's checkout is told.
    """
    body = (
        'git status; echo b > b.txt; git add b.txt; git commit -qm "not asked for"; git rm -q a.txt; echo c > c.txt; '
        'echo "it is in a"; echo b > "$(git rev-parse --git-common-dir)/../b.txt"'
    )
    issue = stage.issue("What is in a?", body, "--role", "scout")
    before = stage.git("rev-parse", "main")
    assert stage.start("--test", "true").code == 0
    assert (stage.row(issue)["status"], stage.git("rev-parse", "main")) == ("done", before)
    assert not [event for kind in ("gate.finished", "merge.queued", "batch.formed") for event in stage.events(kind)]
    kept = stage.files(f"refs/swarm/wip/scout-1/{issue}-1")
    assert (kept, stage.git("for-each-ref", "refs/heads/swarm")) == ({"b.txt", "c.txt"}, "")
    (leak,) = stage.events("leak.detected", issue)
    assert (leak.data.files, leak.data.evidence) == (["b.txt"], "b.txt as in its work")


def test_agents_write_letters_with_the_swarm_they_find_on_their_path(stage: Stage) -> None:
    body = 'swarm mail send --to human --type progress --body "half way"; echo b > b.txt'
    issue = stage.issue("Write b", body)
    assert stage.start().code == 0
    letters = stage.json("mail", "list")
    assert [(row["from"], row["to"], row["type"], row["issue"]) for row in letters] == [
        ("agent-builder-1", ["human"], "progress", issue)
    ]


def test_a_letter_of_type_blocked_reaches_the_person_through_the_coordinator(stage: Stage) -> None:
    stage.issue("Write b", "swarm mail send --to coordinator --type blocked --body 'which b?'; echo b > b.txt")
    assert stage.start().code == 0
    passed = [row for row in stage.json("mail", "list", "--to", "human") if row["from"] == "coordinator"]
    assert len(passed) == 1
    assert "which b?" in passed[0]["body"]


def test_a_person_chooses_the_agent(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    assert stage.swarm("issue", "assign", issue, "kim").code == 0
    assert stage.start().code == 0
    assert stage.events("issue.assigned")[0].data.agent == "kim"
    assert stage.row(issue)["assignee"] == "kim"


def test_worktrees_are_removed_only_after_the_work_was_secured(stage: Stage) -> None:
    """Pain 1: removal without that event is impossible."""
    (stage.root / "swarm.toml").write_text('[workspace]\nkeep_failed = "0s"\n')
    stage.issue("Write b", "echo b > b.txt")
    stage.issue("Fail", "echo half > half.txt; exit 3")
    stage.start("--max-retries", "0")
    for removed in stage.events("worktree.removed"):
        secured = [e for e in stage.events("work.secured", removed.subject) if e.data.attempt == removed.data.attempt]
        assert secured
        assert secured[-1].id < removed.id
        assert removed.data.secured == secured[-1].data.commit
    assert not list((stage.root / ".swarm/worktrees").glob("sw-*"))


def test_replay_rebuilds_the_state_of_every_moment(stage: Stage) -> None:
    first = stage.issue("Write b", "echo b > b.txt")
    stage.issue("Write c", "echo c > c.txt", "--needs", first)
    assert stage.start().code == 0
    events = stage.events()
    end = stage.json("replay")
    assert end["index"] == len(events)
    assert {row["status"] for row in end["issues"]} == {"done"}
    assigned = next(i for i, event in enumerate(events, 1) if event.type == "issue.assigned")
    before, after = (stage.json("replay", "--at", str(index)) for index in (assigned - 1, assigned))
    assert [row["status"] for row in before["issues"]] == ["open", "open"]
    assert [row["status"] for row in after["issues"]] == ["in_progress", "open"]
    assert stage.json("replay", "--at", events[assigned - 1].id) == after


def test_every_event_of_a_run_has_a_cause_that_leads_to_a_person_or_to_the_run(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--test", "true").code == 0
    closed = stage.events("issue.closed", issue)[0]
    chain = json.loads(stage.swarm("why", closed.id, "--json").out)
    assert chain[0]["type"] == "issue.opened"
    assert chain[-1]["id"] == closed.id
    assert "merge.landed" in [event["type"] for event in chain]


def test_setting_up_is_init_and_start_with_no_server_no_database_no_daemon_and_no_network(stage: Stage) -> None:
    """Pain 33. Nothing is left running either."""
    stage.issue("Write b", "echo b > b.txt")
    alone = ["unshare", "--net"] if os.geteuid() == 0 else []
    done = subprocess.run([*alone, SWARM, "start", "--until-idle"], cwd=stage.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "b.txt" in stage.files()
    assert not stage.running()
