"""The steps that every attempt shares, as the builder takes them: each is due exactly while its fact is missing."""

from typing import Any

import msgspec
import pytest

from swarm.actors import builder
from swarm.actors.attempts import Prepare, Run, Secure
from swarm.actors.builder import StartGate
from swarm.actors.command import Command
from swarm.actors.endings import Remove
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    ConflictResolved,
    MergeConflicted,
    MergeRejected,
    RunStopRequested,
    SessionKillRequested,
    SessionRequested,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from swarm.world import SessionSpec

from attempting import BRANCH, PATH, due, one, said, secure_of
from history import BASE, History, commit, decided

# --- prepare, run ---


def test_what_was_assigned_is_prepared(h: History) -> None:
    cause = h.to("assigned")
    assert due(h) == [Prepare("a", 1, PATH, BRANCH, "main", cause)]


def test_what_is_prepared_runs(h: History) -> None:
    cause = h.to("seen")
    run = one(h)
    assert isinstance(run, Run)
    assert (run.issue, run.attempt, run.agent, run.runtime, run.path, run.cause) == (
        "a",
        1,
        "builder-1",
        "shell",
        PATH,
        cause,
    )
    assert (run.title, run.body, run.failure) == ("Do a", "true", "")


@pytest.mark.parametrize("stage", ["requested", "started"])
def test_nothing_is_due_while_the_agent_works(h: History, stage: str) -> None:
    h.to(stage)
    assert due(h) == []


def test_a_session_that_is_known_only_by_its_start_is_not_run_again(h: History) -> None:
    h.to("prepared")
    h.started("a", 1)
    assert due(h) == []


def test_a_scouts_attempt_is_left_to_the_scout(h: History) -> None:
    h.to("assigned", role="scout", agent="scout-1")
    assert due(h) == []
    h.to("secured")
    assert due(h) == []


def test_an_attempt_says_why_the_one_before_failed(h: History) -> None:
    h.to("secured")
    h.add(WorkRejected(1, "the tests fail (exit code 1)", "E: 1 != 2"), "a")
    h.add(AttemptRetried(1, "x"), "a")
    h.to("seen", attempt=2)
    run = next(command for command in due(h) if isinstance(command, Run))
    assert (run.failure, run.output) == ("the tests fail (exit code 1)", "E: 1 != 2")


def test_an_attempt_says_what_the_merge_of_the_one_before_printed(h: History) -> None:
    h.to("stacked")
    h.add(MergeRejected(1, "merged, the tests fail (exit code 1)", "E: a clash"), "a")
    h.add(AttemptRetried(1, "x"), "a")
    h.to("seen", attempt=2)
    run = next(command for command in due(h) if isinstance(command, Run))
    assert (run.failure, run.output) == ("merged, the tests fail (exit code 1)", "E: a clash")


def test_nothing_is_started_while_everything_is_being_ended(h: History) -> None:
    h.to("seen", "a")
    h.issue("b")
    h.to("secured", "b")
    assert [type(command) for command in due(h)] == [Run, StartGate]
    h.add(RunStopRequested(agents=True), "run-1")
    assert due(h) == []
    h.run("run-2")
    assert [type(command) for command in due(h)] == [Run, StartGate]


def test_preparing_cuts_a_worktree_from_the_targets_tip(bench: Any) -> None:
    tip = bench.repository.commit("main", {"new": "1\n"})
    prepare = Prepare("a", 1, PATH, BRANCH, "main", "cause")
    assert said(prepare, bench) == [WorktreePrepared(1, PATH, BRANCH, tip)]
    assert bench.repository.worktrees[PATH].files["new"] == "1\n"


def test_before_a_worktree_is_cut_the_target_is_brought_up_to_date(bench: Any) -> None:
    def follow(target: str) -> list[tuple[str, str]]:
        bench.repository.commit(target, {"new": "1\n"})
        return [("it moved", ""), ("it is stuck", "git pull")]

    bench.hands = msgspec.structs.replace(bench.hands, follow=follow)
    (prepared,) = said(Prepare("a", 1, PATH, BRANCH, "main", "cause"), bench)
    assert prepared == WorktreePrepared(
        1, PATH, BRANCH, bench.repository.tip("main"), notes=["it moved", "it is stuck: git pull"]
    )
    assert bench.repository.worktrees[PATH].files["new"] == "1\n"


def run_of(**changes: Any) -> Run:
    given: dict[str, Any] = {
        "issue": "a",
        "attempt": 1,
        "agent": "kim",
        "role": "builder",
        "runtime": "shell",
        "model": "",
        "title": "Do a",
        "body": "make it",
        "failure": "",
        "output": "",
        "path": PATH,
        "cause": "cause",
    }
    return Run(**(given | changes))


def test_running_starts_a_session_that_knows_who_it_is(bench: Any) -> None:
    assert said(run_of(), bench) == [SessionRequested("a-1", 1, "agent", 7)]
    spec = bench.sessions.specs["a-1"]
    assert (spec.issue, spec.attempt, spec.kind, spec.runtime) == ("a", 1, "agent", "shell")
    assert (spec.cwd, spec.run_dir, spec.causationid) == (f"/repository/{PATH}", "/runs/a-1", "cause")
    assert bench.written == {"/runs/a-1/script": "make it\n"}


def test_running_again_what_was_claimed_starts_nothing(bench: Any) -> None:
    said(run_of(), bench)
    assert said(run_of(), bench) == [SessionRequested("a-1", 1, "agent", 0)]
    assert bench.sessions.begun == ["a-1"]


@pytest.mark.parametrize("changes", [{"runtime": "unheard-of"}, {"body": " "}])
def test_what_the_runtime_cannot_run_is_final(bench: Any, changes: dict[str, str]) -> None:
    (rejected,) = said(run_of(**changes), bench)
    assert isinstance(rejected, WorkRejected)
    assert rejected.final
    assert rejected.detail, "the hint"
    assert bench.sessions.specs == {}


# --- secure ---


def test_what_ended_well_is_secured_on_its_branch(h: History, bench: Any) -> None:
    h.to("exited")
    secure = one(h)
    assert (type(secure), secure.wip, secure.why, secure.final, secure.ended) == (Secure, False, "", False, False)
    bench.repository.prepare(PATH, BRANCH, bench.repository.tip("main"))
    bench.repository.write(PATH, {"new": "1\n"})
    secure = secure_of(base=bench.repository.tip("main"))
    (fact,) = said(secure, bench)
    assert isinstance(fact, WorkSecured)
    assert (fact.ref, fact.commits, fact.files) == (f"refs/heads/{BRANCH}", 1, ["new"])


def test_what_a_failing_agent_left_goes_to_a_wip_ref_and_no_further(h: History, bench: Any) -> None:
    h.to("exited", ok=False, code=3, why="exit code 3", tail="oh no")
    secure = one(h)
    assert (secure.wip, secure.why, secure.detail, secure.final) == (True, "exit code 3", "oh no", False)
    bench.repository.prepare(PATH, BRANCH, bench.repository.tip("main"))
    bench.repository.write(PATH, {"half": "1\n"})
    base = bench.repository.tip("main")
    secure = secure_of(base=base, wip=secure.wip, why=secure.why, detail="oh no")
    rejected, kept = said(secure, bench)
    assert isinstance(kept, WorkSecured)
    assert kept.ref == "refs/swarm/wip/kim/a-1"
    assert bench.repository.files(kept.commit)["half"] == "1\n"
    assert rejected == WorkRejected(1, "exit code 3", "oh no")


def test_an_agent_whose_program_is_missing_need_not_be_tried_again(h: History) -> None:
    h.to("exited", ok=False, code=127, why="no such program", ended_by="missing")
    assert one(h).final


def test_a_timeout_is_a_failure_that_may_be_tried_again(h: History) -> None:
    h.to("exited", ok=False, code=-15, why="it ran longer than 60 s", ended_by="timeout")
    assert (one(h).why, one(h).final) == ("it ran longer than 60 s", False)


def test_what_a_lost_session_left_is_secured_and_is_a_failure(h: History) -> None:
    h.to("started")
    h.lost("a", 1)
    assert (type(one(h)), one(h).why) == (Secure, "the agent's session was lost")


def test_an_exit_that_is_found_after_the_loss_counts_more(h: History) -> None:
    h.to("started")
    h.lost("a", 1)
    h.exited("a", 1)
    assert one(h).why == ""


def test_a_session_that_a_person_killed_calls_its_attempt_off_and_is_no_failure(h: History) -> None:
    h.to("started")
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    h.exited("a", 1, ok=False, code=-15, ended_by="killed")
    assert decided(builder.due(h.board(), h.now)) == [("a", AttemptCancelled(1, "enough"))]
    assert due(h) == []
    h.add(AttemptCancelled(1, "enough"), "a")
    assert (type(one(h)), one(h).ended) == (Secure, True)


def test_a_session_that_ended_well_before_the_kill_reached_it_goes_on(h: History) -> None:
    h.to("started")
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    h.exited("a", 1)
    assert (type(one(h)), one(h).why) == (Secure, "")


# --- attempts that begin with work ---


def test_what_is_there_already_needs_no_agent(h: History, bench: Any) -> None:
    work = bench.repository.commit("main", {"new": "1\n"})
    cause = h.to("assigned", work=work)
    assert one(h) == Prepare("a", 1, PATH, BRANCH, "main", cause, work=work)
    base = bench.repository.tip("main")
    assert said(one(h), bench) == [WorktreePrepared(1, PATH, BRANCH, base, work=work)]
    h.to("prepared", base=base, work=work)
    secure = one(h)
    assert (type(secure), secure.wip, secure.why, secure.work, secure.seen) == (Secure, False, "", work, None)
    h.to("secured")
    assert type(one(h)) is StartGate


def test_what_was_called_off_before_its_work_was_secured_is_kept(h: History) -> None:
    h.to("assigned", work=commit("work"))
    h.to("prepared")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert (type(one(h)), one(h).wip, one(h).ended) == (Secure, True, True)


def test_a_conflict_that_is_to_be_resolved_is_an_agents_task(h: History) -> None:
    h.to("queued")
    h.add(MergeConflicted(1, BASE, ["a.py", "b.py"]), "a")
    h.add(AttemptRetried(1, "x"), "a")
    cause = h.to("assigned", attempt=2, work=commit("a-1"), resolve=True)
    prepare = next(command for command in due(h) if isinstance(command, Prepare))
    assert (prepare.work, prepare.resolve, prepare.cause) == (commit("a-1"), True, cause)
    h.to("seen", attempt=2)
    run = next(command for command in due(h) if isinstance(command, Run))
    assert run.conflict == ("a.py", "b.py")


def test_a_run_without_agents_leaves_a_conflict_to_the_next_but_tests_what_is_there(h: History) -> None:
    h.run("run-2", max_agents=0)
    h.issue("b")
    h.to("assigned", "a", attempt=2, work=commit("a-1"), resolve=True)
    h.to("assigned", "b", work=commit("b-1"))
    assert [(type(step), step.issue) for step in due(h)] == [(Prepare, "b")]


def test_a_resolved_conflict_says_what_was_dropped(bench: Any) -> None:
    repository = bench.repository
    start = repository.tip("main")
    repository.prepare(".swarm/worktrees/w-1", "swarm/kim/w-1", start)
    repository.write(".swarm/worktrees/w-1", {"README": "theirs\n"})
    work = repository.secure(".swarm/worktrees/w-1", "swarm/kim/w-1", start, "refs/heads/swarm/kim/w-1", "w", "kim <k>")
    base = repository.commit("main", {"README": "ours\n"})
    repository.prepare(PATH, BRANCH, base, work=work.commit, resolve=True)
    repository.write(PATH, {"README": "ours\n", "more": "1\n"})
    secure = secure_of(base=base, work=work.commit, resolve=True)
    resolved, secured = said(secure, bench)
    assert resolved == ConflictResolved(1, base, work.commit, secured.commit, ["README: theirs"])  # type: ignore[attr-defined]
    assert builder.perform(secure, bench.hands)[-1].fact == secured, "the same again"


# --- what the world refuses ---


@pytest.mark.parametrize("command", [Prepare("a", 1, PATH, BRANCH, "main", "cause"), run_of(), secure_of()])
def test_what_the_world_refuses_ends_the_attempt_with_its_words(command: Command) -> None:
    (each,) = builder.refused(command, SwarmError("no room", "make room"))
    assert (each.subject, each.cause) == ("a", "cause")
    assert each.fact == WorkRejected(1, "no room", "make room")


@pytest.mark.parametrize(
    "command",
    [
        Remove("a", 1, PATH, BRANCH, BASE, True, "cause"),
        secure_of(wip=True, ended=True),
    ],
)
def test_what_has_ended_is_only_tried_again_later(command: Command) -> None:
    assert builder.refused(command, SwarmError("no room")) == []


def test_nothing_is_removed_from_under_a_gate_that_was_begun_in_a_crash_and_is_not_in_the_log(bench: Any) -> None:
    tip = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, tip)
    spec = SessionSpec(
        session="a-1-gate", issue="a", attempt=1, kind="gate", argv=[], cwd=PATH, run_dir="r", log_dir="l"
    )
    bench.sessions.start(spec, {})
    remove = Remove("a", 1, PATH, BRANCH, tip, True, "cause", ("a-1-gate",))
    assert said(remove, bench) == []
    bench.sessions.end("a-1-gate")
    assert said(remove, bench) == [WorktreeRemoved(1, PATH, tip)]
