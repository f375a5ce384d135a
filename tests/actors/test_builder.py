"""Builder: what the orchestrator itself saw is done, and nothing else."""

from typing import Any

import pytest

from swarm.actors import builder, gates
from swarm.actors.builder import JudgeControl, JudgeGate, RejectEmpty, SkipGate, StartGate
from swarm.actors.gates import Verdict
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    Gate,
    GateControlled,
    GateFinished,
    QueueHeld,
    QueueResumed,
    RunStarted,
    SessionRequested,
    WorkRejected,
)
from swarm.projections import agents, runs

from attempting import BRANCH, PATH, due, one, said
from doubles import MemoryRepository, hands
from history import BASE, History, commit

TEST = Gate("test", "make test", 0.0)


# --- the gate ---


def test_secured_work_is_tested_in_its_own_worktree(h: History) -> None:
    cause = h.to("secured")
    assert due(h) == [StartGate("a", 1, "a-1-gate", PATH, commit("a-1"), TEST, cause)]


def test_a_gate_that_runs_is_waited_for_and_then_judged(h: History) -> None:
    h.to("gate_requested")
    assert due(h) == []
    h.to("gate_exited", tail="2 passed")
    judge = one(h)
    assert (type(judge), judge.said) == (JudgeGate, Verdict("passed", 0, "", "2 passed"))
    h.to("gated")
    assert due(h) == []


def test_without_a_test_command_the_gate_is_skipped_and_says_so(h: History, bench: Any) -> None:
    h.run("run-2", test="")
    h.to("secured")
    skip = one(h)
    assert isinstance(skip, SkipGate)
    assert said(skip, bench) == [GateFinished(1, commit("a-1"), "none")]


def test_an_agent_that_ended_well_and_left_nothing_is_unverified(h: History, bench: Any) -> None:
    h.to("secured", commits=0, commit=BASE, files=[])
    reject = one(h)
    assert isinstance(reject, RejectEmpty)
    (fact,) = said(reject, bench)
    assert isinstance(fact, WorkRejected)
    assert fact.reason.startswith("unverified")
    assert not fact.final


def test_a_gate_that_a_stop_ended_is_followed_by_another(h: History) -> None:
    h.to("gate_requested")
    h.exited("a", 1, session="a-1-gate", ok=False, code=-15, ended_by="killed")
    assert one(h).session == "a-1-gate-2"
    h.requested("a", 1, session="a-1-gate-2", kind="gate")
    assert due(h) == []


def end(h: History, session: str, **changes: Any) -> None:
    """That gate's session ends (it could not judge, unless told otherwise), and the builder says what it means."""
    h.exited("a", 1, **({"session": session, "ok": False, "code": 127} | changes))
    judge = one(h)
    assert isinstance(judge, JudgeGate | JudgeControl)
    for each in builder.perform(judge, hands(MemoryRepository({}), None, "/log")):  # type: ignore[arg-type]
        h.add(each.fact, each.subject, "builder")


def test_a_gate_that_could_not_judge_is_tried_once_more_and_then_without_the_work(h: History) -> None:
    h.to("gate_requested")
    end(h, "a-1-gate")
    assert one(h).session == "a-1-gate-2"
    end(h, "a-1-gate-2")
    control = one(h)
    assert isinstance(control, StartGate)
    assert (control.session, control.commit, control.path) == ("a-1-control-test", BASE, PATH)
    assert not h.board()[runs.State].held


@pytest.mark.parametrize("ended", [{"ok": True, "code": 0}, {"ok": False, "code": 1}])
def test_work_without_which_the_gate_can_judge_is_rejected(h: History, ended: dict[str, Any]) -> None:
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    h.requested("a", 1, session="a-1-control-test", kind="gate")
    assert due(h) == []
    end(h, "a-1-control-test", **ended)
    again = one(h)
    assert (again.session, again.commit) == ("a-1-gate-3", commit("a-1"))
    end(h, "a-1-gate-3", tail="sh: make: not found")
    attempt = h.board()[agents.State].attempts["a", 1]
    assert (attempt.stage, h.board()[runs.State].held) == ("failed", None)
    rejected = attempt.get(WorkRejected)
    assert "could not be run (exit code 127); without this work it can judge" in rejected.reason
    assert (rejected.detail, rejected.final) == ("sh: make: not found", False)


def test_an_outage_that_ends_before_the_control_blames_nobody(h: History) -> None:
    """Else whoever was tested meanwhile would be at fault."""
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    end(h, "a-1-control-test", ok=True, code=0)
    assert not h.board()[agents.State].attempts["a", 1].ended
    end(h, "a-1-gate-3", ok=True, code=0)
    assert gates.passed(h.board()[agents.State].attempts["a", 1], settings(h)) == commit("a-1")


def test_work_that_fails_once_the_gate_can_judge_again_has_failed(h: History) -> None:
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    end(h, "a-1-control-test", ok=True, code=0)
    end(h, "a-1-gate-3", code=1, tail="E")
    rejected = h.board()[agents.State].attempts["a", 1].get(WorkRejected)
    assert (rejected.reason, rejected.detail) == ("the tests fail (exit code 1)", "E")


def test_a_control_of_the_run_before_goes_on_and_blames_nobody(h: History) -> None:
    """The gate may have been mended between the two: it is tried again."""
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    h.run("run-2")
    assert one(h).session == "a-1-control-test", "it may run already, in that worktree"
    end(h, "a-1-control-test", ok=True, code=0)
    assert one(h).session == "a-1-gate-3"
    end(h, "a-1-gate-3")
    end(h, "a-1-gate-4")
    end(h, "a-1-control-test-2", ok=True, code=0)
    end(h, "a-1-gate-5")
    assert h.board()[agents.State].attempts["a", 1].stage == "failed"


def test_where_the_gate_cannot_judge_even_without_the_work_the_queue_is_held(h: History) -> None:
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    h.exited("a", 1, session="a-1-control-test", ok=False, code=-15, ended_by="killed")
    assert one(h).session == "a-1-control-test-2", "what a stop ended has not judged"
    end(h, "a-1-control-test-2")
    held = h.board()[runs.State].held
    assert held
    assert (held.kind, held.issue) == ("infrastructure", "a")
    assert due(h) == []
    assert not h.board()[agents.State].attempts["a", 1].ended


def test_the_next_run_tests_the_secured_work_again_and_what_was_broken_before_does_not_count(h: History) -> None:
    h.to("gate_requested")
    end(h, "a-1-gate")
    end(h, "a-1-gate-2")
    end(h, "a-1-control-test")
    h.run("run-2")
    assert one(h).session == "a-1-gate-3"
    end(h, "a-1-gate-3")
    assert not h.board()[runs.State].held
    end(h, "a-1-gate-4", ok=True, code=0)
    assert due(h) == []
    assert gates.passed(h.board()[agents.State].attempts["a", 1], settings(h)) == commit("a-1")


def test_a_lost_gate_could_not_judge(h: History) -> None:
    h.to("gate_requested")
    h.lost("a", 1, "a-1-gate")
    judge = one(h)
    assert (type(judge), judge.said.word) == (JudgeGate, "broken")


def test_while_the_queue_is_held_no_gate_is_started(h: History) -> None:
    h.to("secured")
    h.add(QueueHeld("person", "wait"), "run-1")
    assert due(h) == []
    h.add(QueueResumed(), "run-1")
    assert isinstance(one(h), StartGate)


def test_several_gates_judge_one_after_the_other_each_in_a_session_of_its_own(h: History) -> None:
    lint, unit, both = Gate("lint", "ruff", 60.0), Gate("test", "pytest"), Gate("late", "true", when="landing")
    h.run("run-2", gates=[lint, both, unit])
    h.to("secured")
    first = one(h)
    assert (first.session, first.gate) == ("a-1-gate-lint", lint)
    end(h, "a-1-gate-lint")
    assert one(h).session == "a-1-gate-lint-2"
    end(h, "a-1-gate-lint-2", ok=True, code=0)
    second = one(h)
    assert (second.session, second.gate) == ("a-1-gate", unit)
    end(h, "a-1-gate", ok=True, code=0)
    assert due(h) == []
    assert gates.passed(h.board()[agents.State].attempts["a", 1], settings(h)) == commit("a-1")


def settings(h: History) -> RunStarted:
    found = h.board()[runs.State].settings
    assert found
    return found


def test_a_gate_has_its_own_time_or_that_of_the_settings(bench: Any) -> None:
    tip = bench.repository.tip("main")
    for gate, seconds in ((TEST, bench.hands.limits.gate), (Gate("lint", "ruff", 60.0), 60.0)):
        said(StartGate("a", 1, f"a-1-{gate.name}", PATH, tip, gate, "cause"), bench)
        assert bench.sessions.specs[f"a-1-{gate.name}"].timeout == seconds


def test_the_gate_starts_at_exactly_the_commit(bench: Any) -> None:
    tip = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, tip)
    bench.repository.write(PATH, {"left": "over\n"})
    start = StartGate("a", 1, "a-1-gate", PATH, tip, TEST, "cause")
    assert said(start, bench) == [SessionRequested("a-1-gate", 1, "gate", 7)]
    assert bench.repository.worktrees[PATH].files == {"README": "hello\n"}
    spec = bench.sessions.specs["a-1-gate"]
    assert (spec.argv, spec.cwd) == (["/bin/sh", "-c", "make test"], f"/repository/{PATH}")
    bench.repository.write(PATH, {"built": "by the test\n"})
    assert said(start, bench) == [SessionRequested("a-1-gate", 1, "gate", 0)]
    assert "built" in bench.repository.worktrees[PATH].files, "started again: it works in there"


@pytest.mark.parametrize(
    "verdict", [Verdict("passed"), Verdict("failed", 1, "the tests fail", "E"), Verdict("broken", 127, "it is missing")]
)
def test_what_a_gate_means(bench: Any, verdict: Verdict) -> None:
    *rejected, finished = said(JudgeGate("a", 1, commit("a-1"), TEST, verdict, "cause"), bench)
    why = verdict.why if verdict.word == "broken" else ""
    assert finished == GateFinished(
        1, commit("a-1"), verdict.word, "make test", verdict.code, verdict.output, "test", why
    )
    assert rejected == ([WorkRejected(1, verdict.why, verdict.output)] if verdict.word == "failed" else [])


def test_what_holds_the_queue_says_why_and_what_to_do(bench: Any) -> None:
    verdict = Verdict("broken", 127, "the test command could not be run (exit code 127)")
    tip = bench.repository.tip("main")
    judge = JudgeControl("a", 1, PATH, tip, tip, TEST, verdict, "cause")
    held, told = builder.perform(judge, bench.hands)
    assert told.fact == GateControlled(tip, "broken", "test", "make test", 127, why=verdict.why, attempt=1)
    assert bench.repository.worktrees[PATH].head == tip, "who looks at it finds the work"
    assert held.subject == bench.hands.run
    assert isinstance(held.fact, QueueHeld)
    assert (held.fact.kind, held.fact.issue) == ("infrastructure", "a")
    assert "(exit code 127), 2 times in a row: make test; " in held.fact.reason
    assert "`swarm merge now`" in held.fact.reason


def test_a_gate_that_cannot_be_started_ends_the_attempt_for_good() -> None:
    (each,) = builder.refused(StartGate("a", 1, "a-1-gate", PATH, BASE, TEST, "why"), SwarmError("no room"))
    assert (each.subject, each.cause, each.fact) == ("a", "why", WorkRejected(1, "no room", final=True))
