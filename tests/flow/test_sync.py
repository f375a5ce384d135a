"""Two clones, the real program, a bare remote between them: from `swarm init` to issues that one of them does."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.events import LeaseAcquired, LeaseReleased, MergeLanded

import repository
from clones import REF, plain
from stage import Stage
from waiting import PATIENCE, until

SHARED = """
[sync]
remote = "origin"
every = 0.5
lease_minutes = 5
"""


class Pair:
    """Two clones of one repository; `far` is fresh: nobody has said `swarm init` in it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "hub.git"
        plain("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), at=folder)
        scratch = repository.make(folder / "near", {"a.txt": "a\n", "swarm.toml": SHARED})
        scratch.git("remote", "add", "origin", str(self.bare))
        scratch.git("push", "--quiet", "--set-upstream", "origin", "main")
        self.near = Stage(Path(scratch.root))
        assert self.near.swarm("init").code == 0
        self.folder = folder

    def clone(self, name: str = "far", settings: str = SHARED) -> Stage:
        plain("clone", "--quiet", str(self.bare), name, at=self.folder)
        far = Stage(self.folder / name)
        (far.root / "swarm.toml").write_text(settings)
        far.git("config", "user.name", "Fran Far")
        far.git("config", "user.email", "fran@example.org")
        return far


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.near.close()


@pytest.fixture
def far(pair: Pair) -> Iterator[Stage]:
    """A clone that was made after the first sync."""
    assert pair.near.swarm("sync").code == 0
    made = pair.clone()
    assert made.swarm("init").code == 0
    yield made
    made.close()


def node(stage: Stage) -> str:
    return next(path.stem for path in stage.log.iterdir() if "-" not in path.stem)


def landed(stage: Stage) -> list[Any]:
    return [event for event in stage.events() if isinstance(event.data, MergeLanded)]


# --- the command ----------------------------------------------------------------------------------


def test_a_fresh_clone_has_everything_after_init_and_both_converge(pair: Pair) -> None:
    first = pair.near.issue("Do this", "echo 1 > one.txt")
    done = pair.near.swarm("sync")
    assert (done.code, done.out) == (0, "origin: sent 1 event in 1 file, received nothing\n")
    far = pair.clone()
    done = far.swarm("init")
    assert done.code == 0
    assert "took over 1 event of other clones" in done.out
    assert far.row(first)["title"] == "Do this"
    second = far.issue("Do that", "echo 2 > two.txt", "--needs", first)
    far.swarm("mail", "send", "--to", "human", "--body", "hello from afar")
    assert far.json("sync")["sent"] == 2
    document = pair.near.json("sync")
    assert (document["remote"], document["received"], document["files_received"]) == ("origin", 2, 1)
    assert document["commit"] == plain("rev-parse", REF, at=pair.bare)
    assert pair.near.json("issue", "list") == far.json("issue", "list")
    assert {row["id"] for row in far.json("issue", "list")} == {first, second}
    assert [row["body"] for row in pair.near.json("mail", "list")] == ["hello from afar"]
    assert pair.near.swarm("sync").out == "origin: sent nothing, received nothing\n"
    assert pair.near.swarm("log", "verify").code == far.swarm("log", "verify").code == 0


def test_a_remote_that_does_not_answer_is_exit_1_with_words_and_one_that_is_not_there_exit_2(pair: Pair) -> None:
    pair.near.issue("Do this", "true")
    pair.bare.rename(pair.bare.with_name("away"))
    done = pair.near.swarm("sync")
    assert done.code == 1
    assert "cannot reach origin" in done.err
    assert "swarm sync" in done.err
    assert "Traceback" not in done.err
    pair.bare.with_name("away").rename(pair.bare)
    assert pair.near.swarm("sync").code == 0
    done = pair.near.swarm("sync", "nobody")
    assert (done.code, "known: origin" in done.err) == (2, True)


# --- what a person should know --------------------------------------------------------------------


def warned(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("warning: ")]


def test_who_shares_a_log_and_does_not_sync_by_itself_is_warned(pair: Pair) -> None:
    unset = ", and [sync] remote is not set: the same issue may be begun twice; set it in swarm.toml"
    (pair.near.root / "swarm.toml").write_text("")
    assert not warned(pair.near.start().out), "it is its own"
    pair.near.issue("Do this", "true")
    assert pair.near.swarm("sync").code == 0
    assert warned(pair.near.start().out) == [f"warning: this log is shared with whoever fetches it{unset}"]
    far = pair.clone(settings="")
    line = f"warning: this log is shared with another clone{unset}"
    assert warned(far.swarm("init").out) == warned(far.start().out) == [line]
    (far.root / "swarm.toml").write_text(SHARED)
    assert not warned(far.swarm("init").out)
    assert not warned(far.start().out)


def test_a_landing_of_another_clone_that_is_not_here_is_told(pair: Pair, far: Stage) -> None:
    first = far.issue("Do this", "echo 1 > one.txt")
    assert far.start().code == 0
    assert pair.near.swarm("sync").code == 0
    (line,) = warned(pair.near.start().out)
    assert "a landing of another clone is not in your main: git pull" in line
    assert far.row(first)["status"] == "done"
    assert not warned(far.start().out), "its own are there"
    far.git("push", "--quiet", "origin", "main")
    pair.near.git("pull", "--quiet")
    assert not warned(pair.near.start().out)


# --- running --------------------------------------------------------------------------------------


def test_an_agent_of_another_clone_is_shown_as_that_clones_and_not_as_gone(pair: Pair, far: Stage) -> None:
    issue = pair.near.issue("Take long", "sleep 60; echo x > x.txt")
    pair.near.background()
    pair.near.wait_for("session.started")
    until(lambda: far.swarm("sync").code == 0 and far.events("session.started"), what="the other's session")
    (row,) = far.json("agent", "list")
    assert (row["state"], row["issue"]) == ("working", issue)
    assert node(pair.near) in row["note"]
    assert far.json("status")["agents"] == [row]
    assert far.row(issue)["status"] == "in_progress"
    assert far.swarm("stop", "--now").code == 0
    assert "0 sessions" in far.swarm("stop").out or "no swarm runs" in far.swarm("stop").out
    assert not far.events("session.kill_requested")
    assert pair.near.swarm("stop", "--now").code == 0


def test_two_clones_at_once_do_each_issue_once(pair: Pair, far: Stage) -> None:
    issues = [pair.near.issue(f"Do {number}", f"sleep 0.2; echo {number} > {number}.txt") for number in range(12)]
    assert pair.near.swarm("sync").code == 0
    assert far.swarm("sync").code == 0
    runs = [stage.background("--until-idle", "--max-agents", "2") for stage in (pair.near, far)]
    assert [run.wait(3 * PATIENCE) for run in runs] == [0, 0]
    for stage in (pair.near, far, pair.near):
        assert stage.swarm("sync").code == 0
    events = pair.near.events()
    assert [event.id for event in events] == [event.id for event in far.events()]
    assert Counter(event.subject for event in landed(far)) == Counter(issues), "each landed once"
    files = [stage.files() for stage in (pair.near, far)]
    done = [{f"{number}.txt" for number in range(12)} & each for each in files]
    assert len(done[0]) + len(done[1]) == 12
    assert done[0], "both had something to do"
    assert done[1]
    acquired = {event.id: event for event in events if isinstance(event.data, LeaseAcquired)}
    for event in landed(far):
        assert acquired[event.data.lease].subject == event.subject
    assert all(row["status"] == "done" for row in far.json("issue", "list"))
    for stage in (pair.near, far):
        assert stage.swarm("log", "verify").code == 0, stage.swarm("log", "verify").out
    assert pair.near.json("issue", "list") == far.json("issue", "list")


def test_offline_only_what_is_held_is_begun_and_a_person_is_told(pair: Pair) -> None:
    first = pair.near.issue("Begin", "until test -f ../../../go; do sleep 0.05; done; echo 1 > 1.txt")
    run = pair.near.background("--max-agents", "1")
    pair.near.wait_for("session.started")
    pair.bare.rename(pair.bare.with_name("away"))
    second = pair.near.issue("Begin too", "echo 2 > 2.txt")
    (pair.near.root / "go").touch()
    pair.near.wait_for("merge.landed")
    until(lambda: pair.near.row(first)["status"] == "done", what="what was held to land")
    letters = until(lambda: pair.near.events("mail.sent"), what="a word to the person")
    assert len(letters) == 1
    assert "cannot reach origin" in letters[0].data.body
    assert not pair.near.events("issue.assigned", second)
    pair.bare.with_name("away").rename(pair.bare)
    until(lambda: pair.near.row(second)["status"] == "done", what="the rest to be done")
    assert pair.near.swarm("stop").code == 0
    run.wait(PATIENCE)


def test_a_run_that_stops_gives_up_what_it_did_not_begin(pair: Pair, far: Stage) -> None:
    issue = pair.near.issue("Wait", "true", "--needs", pair.near.issue("First", "sleep 60"))
    run = pair.near.background("--max-agents", "3")
    pair.near.wait_for("session.started")
    other = pair.near.issue("Held back", "true")
    assert pair.near.swarm("stop").code == 0
    run.wait(PATIENCE)
    held = {e.subject for e in pair.near.events() if isinstance(e.data, LeaseAcquired)}
    given_up = {e.subject for e in pair.near.events() if isinstance(e.data, LeaseReleased)}
    begun = {e.subject for e in pair.near.events("issue.assigned")}
    assert held - begun == given_up
    assert issue not in held
    far.swarm("sync")
    assert {e.subject for e in far.events("lease.released")} == given_up
    assert far.events("run.stopped"), "the end of the run was carried too"
    assert other in {row["id"] for row in far.json("issue", "list")}
