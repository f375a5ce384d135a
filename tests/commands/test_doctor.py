"""`swarm doctor`: what is wrong here, and the command that mends it."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.commands.doctor import LEAST_DISK, disk
from swarm.eventlog.events import (
    IssueAssigned,
    IssueLinked,
    IssueOpened,
    MailSent,
    RunStarted,
    RunStopped,
    SessionStarted,
)
from swarm.world.running import Holder, RunLock

from given import History
from repository import Scratch

RUN = RunStarted(pid=1, boot_id="b", start_ticks=1, version="0", target="main", runtime="shell", max_agents=4,
                 max_retries=1)  # fmt: skip


def found(swarm: Any, check: str) -> dict[str, Any]:
    """The first finding of that check that is not ok, or else the first."""
    checks = [one for one in swarm("doctor", "--json").json["checks"] if one["check"] == check]
    return next((one for one in checks if one["state"] != "ok"), checks[0] if checks else {})


def test_a_fresh_repository_is_well(swarm: Any, home: Home) -> None:
    result = swarm("doctor", "--json")
    assert result.code == 0, result.out
    assert result.json["ok"] is True
    assert {one["check"] for one in result.json["checks"]} >= {
        "python", "git", "repository", "settings", "runtime", "disk", "node", "log", "inotify", "run", "session",
        "needs", "mail",
    }  # fmt: skip
    assert all(set(one) == {"check", "state", "words", "mend"} for one in result.json["checks"])
    assert [one for one in result.json["checks"] if one["state"] == "wrong"] == []


def test_a_target_that_lacks_what_was_fetched_is_said_to(swarm: Any, home: Home) -> None:
    at = Scratch(Path(home.place.root))
    assert found(swarm, "target") == {}
    start, ahead = at.git("rev-parse", "main"), at.commit({"b": "2\n"})
    at.git("remote", "add", "origin", "nowhere")
    at.git("update-ref", "refs/remotes/origin/main", ahead)
    at.git("branch", "--set-upstream-to", "origin/main", "main")
    assert found(swarm, "target") == {}
    at.git("reset", "--quiet", "--hard", start)
    assert found(swarm, "target") == {
        "check": "target",
        "state": "warn",
        "words": "main is 1 commit behind origin/main",
        "mend": "git switch main && git merge --ff-only origin/main",
    }


def test_a_repository_that_is_not_ready_is_told_how_and_left_as_it_is(
    swarm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Scratch(tmp_path / "new")
    bare.root.mkdir()
    bare.git("init", "--quiet")
    monkeypatch.chdir(bare.root)
    assert (found(swarm, "log")["state"], found(swarm, "log")["mend"]) == ("wrong", "swarm init")
    assert "commit" in found(swarm, "repository")["mend"]
    assert swarm("doctor").code == 1
    assert not (bare.common / "swarm").exists()


def test_outside_of_a_repository_it_says_so(swarm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(swarm, "repository")["mend"] == "git init"
    assert swarm("doctor").code == 1


def test_a_branch_in_the_way_is_wrong(swarm: Any, repo: Scratch) -> None:
    repo.git("branch", "swarm")
    assert "git branch -m swarm" in found(swarm, "repository")["mend"]
    assert swarm("doctor").code == 1


def test_settings_that_are_wrong_are_named(swarm: Any, repo: Scratch) -> None:
    repo.write({"swarm.toml": "[start]\nmax_agent = 3\n"})
    assert "start.max_agent" in found(swarm, "settings")["words"]
    assert swarm("doctor").code == 1


def test_a_runtime_that_is_missing_is_wrong_only_if_it_is_the_default(swarm: Any, repo: Scratch) -> None:
    repo.write({"swarm.toml": '[runtimes.pi]\nbinary = "no-such-program"\n'})
    assert (found(swarm, "runtime")["state"], "npm install" in found(swarm, "runtime")["mend"]) == ("warn", True)
    assert swarm("doctor").code == 0
    repo.write({"swarm.toml": '[start]\nruntime = "pi"\n[runtimes.pi]\nbinary = "no-such-program"\n'})
    assert found(swarm, "runtime")["state"] == "wrong"
    assert swarm("doctor").code == 1


def test_damage_in_the_log_is_wrong(swarm: Any, home: Home) -> None:
    home.append("human", [("sw-a", IssueOpened(title="t"))])
    file = next(Path(home.place.log).glob("*.jsonl"))
    file.write_bytes(file.read_bytes() + b"garbage\n")
    assert (found(swarm, "log")["state"], "1 errors" in found(swarm, "log")["words"]) == ("wrong", True)
    result = swarm("doctor")
    assert result.code == 1
    assert "swarm log verify" in result.out


def test_a_run_that_was_killed_is_a_warning_until_the_next_one(swarm: Any, home: Home) -> None:
    home.append("system", [("run-1", RUN)])
    assert (found(swarm, "run")["state"], found(swarm, "run")["mend"][:11]) == ("warn", "swarm start")
    assert swarm("doctor").code == 0
    lock = RunLock(os.path.join(home.place.home, "run.lock"))
    lock.take(Holder(1, "run-1", "now"))
    try:
        assert found(swarm, "run")["state"] == "ok"
    finally:
        lock.drop()
    home.append("system", [("run-1", RunStopped(reason="idle", code=0))])
    assert found(swarm, "run")["state"] == "ok"


def test_a_session_that_is_gone_is_a_warning(swarm: Any, home: Home) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    gone = SessionStarted(session="sw-a-1", attempt=1, kind="agent", boot_id="old", pid=process.pid, start_ticks=1,
                          host_pid=process.pid, host_ticks=1)  # fmt: skip
    home.append("session/sw-a-1", [("sw-a", gone)])
    assert found(swarm, "session")["state"] == "warn"
    assert "sw-a-1 is gone" in swarm("doctor").out


def test_needs_in_a_circle_or_of_nothing_are_wrong(swarm: Any, home: Home) -> None:
    home.append("human", [("sw-a", IssueOpened(title="a")), ("sw-b", IssueOpened(title="b", needs=["sw-a"]))])
    assert found(swarm, "needs")["state"] == "ok"
    home.append("human", [("sw-a", IssueLinked(needs=["sw-b"]))])
    assert "sw-a -> sw-b -> sw-a" in found(swarm, "needs")["words"]
    home.append("human", [("sw-c", IssueOpened(title="c", needs=["sw-nothing"]))])
    assert "sw-nothing, which is not in the log" in swarm("doctor").out
    assert swarm("doctor").code == 1


def test_a_letter_that_cannot_arrive_is_a_warning(swarm: Any, home: Home) -> None:
    given = IssueAssigned(attempt=1, generation="g", agent="kim", role="builder", runtime="shell")
    home.append("coordinator", [("sw-a", given)])
    home.append("human", [("", MailSent(to=["agent-kim"], body="hi"))])
    assert found(swarm, "mail")["state"] == "ok"
    home.append("human", [("", MailSent(to=["agent-bob"], body="hi"))])
    assert (found(swarm, "mail")["state"], "not at work" in found(swarm, "mail")["words"]) == ("warn", True)


def test_a_copy_of_a_clone_has_no_name_of_its_own_yet_and_gets_none_by_looking(
    swarm: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["cp", "-r", home.place.root, tmp_path / "copy"], check=True)
    monkeypatch.chdir(tmp_path / "copy")
    node = (tmp_path / "copy" / ".git" / "swarm" / "node.json").read_bytes()
    assert "copy" in found(swarm, "node")["words"]
    assert (tmp_path / "copy" / ".git" / "swarm" / "node.json").read_bytes() == node


def test_little_disk_is_a_warning() -> None:
    assert (disk(LEAST_DISK).state, disk(LEAST_DISK - 1).state) == ("ok", "warn")


def test_words_from_the_log_do_not_act_on_the_terminal(swarm: Any, home: Home) -> None:
    history = History()
    history.said(IssueOpened(title="t", needs=["sw-\x1b[31m"]), "sw-\x1b[2J")
    Path(home.place.log, "other.jsonl").write_bytes(history.lines)
    out = swarm("doctor").out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
