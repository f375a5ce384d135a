"""Where history is rewritten as it lands (squash, rebase): nothing is lost, and what is taken out is what came in."""

import pytest

from stage import Stage


def settings(stage: Stage, mode: str) -> None:
    (stage.root / "swarm.toml").write_text(f'[merge]\nmode = "{mode}"\nbatch_max = 1\n')
    stage.git("add", "swarm.toml")
    stage.git("commit", "-qm", "settings")


@pytest.mark.parametrize("mode", ["squash", "rebase"])
def test_the_commits_of_agents_stay_reachable_though_others_land(stage: Stage, mode: str) -> None:
    settings(stage, mode)
    stage.issue("one", "echo 1 > one; git add one; git commit -qm first; echo 2 > two")
    stage.issue("two", "echo 3 > three; git add three; git commit -qm second")
    assert stage.start().code == 0
    known = set(stage.git("rev-list", "--all").split())
    assert {event.data.commit for event in stage.events("work.secured")} <= known
    assert stage.git("for-each-ref", "refs/heads/swarm/") == ""
    assert not list((stage.root / ".swarm/worktrees").glob("sw-*"))
    assert stage.json("work", "list") == []
    assert stage.swarm("log", "verify").code == 0


def test_who_did_the_same_is_rolled_back_together(stage: Stage) -> None:
    settings(stage, "squash")
    names = {stage.issue(title, "echo same > new") for title in ("one", "two")}
    assert stage.start().code == 0
    assert {event.data.own for event in stage.events("merge.landed")} == {stage.git("rev-parse", "main")}
    assert set(stage.json("rollback", max(names))["issues"]) == names
    assert "new" not in stage.files()
    assert {stage.row(name)["status"] for name in names} == {"open"}


def test_what_a_person_had_done_already_is_not_rolled_back(stage: Stage) -> None:
    settings(stage, "squash")
    issue = stage.issue("one", "echo same > new; exit 1")
    assert stage.start("--max-retries", "0").code == 1
    (stage.root / "new").write_text("same\n")
    stage.git("add", "new")
    stage.git("commit", "-qm", "by hand")
    assert stage.swarm("work", "restore", issue, "--reopen").code == 0
    assert stage.start().code == 0
    before = stage.git("rev-parse", "main")
    assert stage.swarm("rollback", issue).code == 2
    assert stage.git("rev-parse", "main") == before
