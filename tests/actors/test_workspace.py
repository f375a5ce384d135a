"""Setting a worktree up before its agent, cleaning it up after, and its ports."""

from typing import Any

import pytest
from msgspec.structs import replace

from swarm.actors import builder, scout, workspace
from swarm.actors.attempts import Prepare, Secure
from swarm.actors.builder import StartGate
from swarm.actors.command import Command
from swarm.actors.endings import Remove
from swarm.actors.hands import Recipe
from swarm.actors.launching import Run
from swarm.actors.workspace import Chore, RejectSetup
from swarm.eventlog.errors import SwarmError, UsageError
from swarm.eventlog.events import (
    AttemptCancelled,
    RunStopRequested,
    SessionExited,
    SessionKillRequested,
    SessionLost,
    SessionRequested,
    WorkRejected,
    WorktreePrepared,
    WorktreeRemoved,
)
from swarm.eventlog.fact import Fact

from doubles import MemoryGauge
from history import History, commit, decided, deeds

PATH, BRANCH = ".swarm/worktrees/a-1", "swarm/builder-1/a-1"
SETUP, CLEANUP = {"session": "a-1-setup"}, {"session": "a-1-cleanup"}


def due(h: History, actor: Any = builder) -> list[Command]:
    return deeds(actor.due(h.board(), h.now))


def one(h: History) -> Any:
    (command,) = due(h)
    return command


def said(command: Command, bench: Any) -> list[Fact]:
    return [each.fact for each in builder.perform(command, bench.hands)]


@pytest.fixture
def h(h: History) -> History:
    h.run("run-2", setup="npm ci", cleanup="docker compose down")
    return h


# --- before ---


def test_a_worktree_is_set_up_before_the_agent_begins(h: History) -> None:
    cause = h.to("prepared", port=20_000)
    assert due(h) == [Chore("a", 1, "setup", "a-1-setup", "npm ci", PATH, 20_000, cause)]
    h.requested("a", 1, kind="setup", **SETUP)
    assert due(h) == []
    h.started("a", 1, kind="setup", **SETUP)
    assert due(h) == []
    h.exited("a", 1, **SETUP)
    h.seen("a", 1)
    assert type(one(h)) is Run
    assert one(h).port == 20_000


def test_work_that_is_given_is_taken_over_only_where_its_tests_can_run(h: History) -> None:
    h.to("assigned", work=commit("work"))
    cause = h.to("prepared", work=commit("work"))
    assert due(h) == [Chore("a", 1, "setup", "a-1-setup", "npm ci", PATH, 0, cause)]
    h.requested("a", 1, kind="setup", **SETUP)
    assert due(h) == []
    h.started("a", 1, kind="setup", **SETUP)
    h.exited("a", 1, **SETUP)
    assert type(one(h)) is Secure


def test_ports_of_sessions_that_run_are_taken(h: History) -> None:
    h.to("prepared", port=20_000)
    h.add(SessionRequested("b-1-test-1", 1, "landing", 7, 20_030), "a")
    assert workspace.taken(h.board()) == (20_000, 20_030)
    h.add(SessionExited("b-1-test-1", 1, 0, True, 1.0), "a")
    assert workspace.taken(h.board()) == (20_000,)


def test_a_scouts_worktree_too(h: History) -> None:
    h.to("assigned", role="scout", agent="scout-1")
    h.to("prepared")
    assert [type(command) for command in due(h, scout)] == [Chore]


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ({"code": 3, "why": "exit code 3"}, "exit code 3"),
        ({"code": -15, "why": "it ran longer than 600 s", "ended_by": "timeout"}, "it ran longer than 600 s"),
        ({"code": 127, "why": "its folder is gone", "ended_by": "missing"}, "its folder is gone"),
    ],
)
def test_an_agent_does_not_begin_where_setting_up_failed(h: History, bench: Any, end: dict[str, Any], why: str) -> None:
    h.to("prepared")
    h.requested("a", 1, kind="setup", **SETUP)
    h.exited("a", 1, ok=False, tail="no network", **SETUP, **end)
    reject = one(h)
    assert isinstance(reject, RejectSetup)
    (rejected,) = said(reject, bench)
    assert rejected == WorkRejected(1, f"the setup command failed: {why}", "no network")
    h.add(rejected, "a")
    assert type(one(h)) is Secure


def test_setting_up_that_a_crash_cut_short_is_done_again_and_not_for_ever(h: History) -> None:
    h.to("prepared")
    for session in ("a-1-setup", "a-1-setup-2"):
        assert one(h).session == session
        h.requested("a", 1, kind="setup", session=session)
        h.lost("a", 1, session)
    h.requested("a", 1, kind="setup", session="a-1-setup-3")
    h.lost("a", 1, "a-1-setup-3")
    assert one(h).why == "the setup command failed: its session was lost"


def test_nothing_is_set_up_or_cleaned_up_while_everything_is_being_ended(h: History) -> None:
    h.to("prepared")
    h.issue("b")
    h.to("landed", "b")
    h.add(RunStopRequested(agents=True), "run-2")
    assert due(h) == []
    h.run("run-3", setup="npm ci", cleanup="docker compose down")
    assert [(type(command), command.kind) for command in due(h)] == [(Chore, "setup"), (Chore, "cleanup")]


def test_an_attempt_that_is_called_off_ends_its_setting_up(h: History) -> None:
    h.to("prepared")
    h.started("a", 1, kind="setup", **SETUP)
    h.add(AttemptCancelled(1, "closed"), "a")
    wish = SessionKillRequested("a-1-setup", 1, "the attempt has ended")
    assert decided(builder.due(h.board(), h.now)) == [("a", wish)]


def test_a_chore_is_a_session_in_the_worktree_with_a_limit_of_its_own(bench: Any) -> None:
    given: list[dict[str, str]] = []

    def environment(extra: Any) -> dict[str, str]:
        given.append(dict(extra))
        return given[-1]

    hands = replace(bench.hands, recipe=Recipe(seconds=12.0), environment=environment)
    chore = Chore("a", 1, "setup", "a-1-setup", "npm ci", PATH, 20_010, "cause")
    facts = [each.fact for each in builder.perform(chore, hands)]
    assert facts == [SessionRequested("a-1-setup", 1, "setup", 7, 20_010)]
    spec = bench.sessions.specs["a-1-setup"]
    assert (spec.argv, spec.cwd, spec.timeout, spec.kind) == (
        ["/bin/sh", "-c", "npm ci"],
        f"/repository/{PATH}",
        12.0,
        "setup",
    )
    assert (given[0]["SWARM_PORT_0"], given[0]["SWARM_PORT_9"]) == ("20010", "20019")


# --- after ---


def cleaned(h: History, stage: str = "landed") -> None:
    """To where the worktree is to be cleaned up."""
    h.to(stage)
    if stage == "secured":
        h.add(AttemptCancelled(1, "closed"), "a")
        h.secured("a", 1, ref="refs/swarm/wip/builder-1/a-1")


@pytest.mark.parametrize("stage", ["landed", "secured"])
def test_a_worktree_is_cleaned_up_once_its_work_is_safe_and_then_removed(h: History, stage: str) -> None:
    cleaned(h, stage)
    chore = one(h)
    assert (type(chore), chore.kind, chore.session, chore.line) == (
        Chore,
        "cleanup",
        "a-1-cleanup",
        "docker compose down",
    )
    h.requested("a", 1, kind="cleanup", **CLEANUP)
    assert builder.due(h.board(), h.now) == [], "it is not ended as a session of an ended attempt"
    h.started("a", 1, kind="cleanup", **CLEANUP)
    assert builder.due(h.board(), h.now) == []
    h.exited("a", 1, **CLEANUP)
    assert type(one(h)) is Remove
    h.add(WorktreeRemoved(1, PATH, commit("a-1")), "a", "builder")
    assert builder.due(h.board(), h.now) == []


def test_what_fails_to_clean_up_does_not_hold_the_removal_up(h: History) -> None:
    cleaned(h)
    h.requested("a", 1, kind="cleanup", **CLEANUP)
    h.exited("a", 1, ok=False, code=1, why="exit code 1", **CLEANUP)
    assert type(one(h)) is Remove
    assert one(h).recycle


def test_a_lost_clean_up_does_not_either_but_its_folder_is_not_used_again(h: History) -> None:
    cleaned(h)
    h.requested("a", 1, kind="cleanup", **CLEANUP)
    h.lost("a", 1, "a-1-cleanup")
    assert (type(one(h)), one(h).recycle) == (Remove, False)


def test_what_was_never_prepared_is_not_cleaned_up(h: History) -> None:
    h.to("assigned")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert builder.due(h.board(), h.now) == []


# --- without a host ---


def test_where_no_host_can_be_started_setting_up_fails_and_cleaning_up_is_given_up(h: History) -> None:
    chore = Chore("a", 1, "setup", "a-1-setup", "npm ci", PATH, 0, "cause")
    (rejected,) = [each.fact for each in builder.refused(chore, SwarmError("no room", "make room"))]
    assert rejected == WorkRejected(1, "no room", "make room")
    cleaned(h)
    for each in builder.refused(one(h), SwarmError("no room", "make room")):
        h.add(each.fact, each.subject)
    assert type(h.events[-1].data) is SessionLost
    assert type(one(h)) is Remove


# --- ports, copies, links ---


def test_what_has_ports_is_told_which_are_taken_and_keeps_its_own(h: History, bench: Any) -> None:
    h.run("run-3", ports=True)
    h.to("prepared", port=20_000)
    h.issue("b")
    h.to("prepared", "b", port=20_020)
    h.add(AttemptCancelled(1, "closed"), "b")
    h.secured("b", 1)
    h.add(WorktreeRemoved(1, ".swarm/worktrees/b-1", commit("b-1")), "b")
    h.issue("c")
    h.to("assigned", "c")
    prepare = next(command for command in due(h) if isinstance(command, Prepare))
    assert prepare.taken == (20_000,)
    (made,) = [each.fact for each in builder.perform(prepare, replace(bench.hands, gauge=MemoryGauge()))]
    assert isinstance(made, WorktreePrepared)
    assert (made.port, made.notes) == (20_010, [])


def test_where_no_ports_are_free_that_is_said(bench: Any) -> None:
    full = replace(bench.hands, gauge=MemoryGauge(listening=range(20_000, 21_000)))
    prepare = Prepare("a", 1, PATH, BRANCH, "main", "cause", ())
    (made,) = [each.fact for each in builder.perform(prepare, full)]
    assert isinstance(made, WorktreePrepared)
    assert (made.port, made.notes) == (0, ["there are no ten free ports"])


def test_without_the_setting_nothing_is_asked_of_the_machine(h: History) -> None:
    h.run("run-3")
    h.to("assigned")
    assert one(h).taken is None


def test_the_test_has_the_ports_of_its_worktree(h: History) -> None:
    h.to("prepared", port=20_030)
    h.requested("a", 1)
    h.exited("a", 1)
    h.secured("a", 1)
    assert isinstance(one(h), StartGate)
    assert one(h).port == 20_030


def test_what_is_copied_and_linked_is_in_the_worktree_and_what_is_missing_in_the_fact(bench: Any) -> None:
    bench.repository.ignored = {".env": "KEY=1\n"}
    hands = replace(bench.hands, recipe=Recipe(copy=(".env",), link=("node_modules",)))
    (made,) = [each.fact for each in builder.perform(Prepare("a", 1, PATH, BRANCH, "main", "cause"), hands)]
    assert isinstance(made, WorktreePrepared)
    assert made.notes == ["there is no node_modules"]
    assert bench.repository.worktrees[PATH].ignored == {".env": "KEY=1\n"}


def test_what_may_not_be_copied_leaves_no_worktree(bench: Any) -> None:
    hands = replace(bench.hands, recipe=Recipe(copy=("README",)))
    with pytest.raises(UsageError, match="in git"):
        builder.perform(Prepare("a", 1, PATH, BRANCH, "main", "cause"), hands)
    assert PATH not in bench.repository.worktrees
    assert f"refs/heads/{BRANCH}" not in bench.repository.refs


def test_without_a_recipe_all_is_as_it_was(h: History) -> None:
    h.run("run-3")
    cause = h.to("assigned")
    assert due(h) == [Prepare("a", 1, PATH, BRANCH, "main", cause)]
    h.to("seen")
    assert type(one(h)) is Run
    h.to("landed")
    assert type(one(h)) is Remove
