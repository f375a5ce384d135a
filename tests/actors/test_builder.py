"""Builder: what the orchestrator itself saw is done, and nothing else."""

from typing import Any

import pytest

from swarm.actors import builder
from swarm.actors.builder import JudgeGate, RejectEmpty, SkipGate, StartGate
from swarm.actors.command import Command
from swarm.actors.gates import Verdict
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    GateFinished,
    SessionRequested,
    WorkRejected,
)
from swarm.eventlog.fact import Fact

from history import BASE, History, commit, deeds

PATH, BRANCH = ".swarm/worktrees/a-1", "swarm/builder-1/a-1"


def due(h: History) -> list[Command]:
    return deeds(builder.due(h.board(), h.now))


def one(h: History) -> Any:
    (command,) = due(h)
    return command


def said(command: Command, bench: Any) -> list[Fact]:
    return [each.fact for each in builder.perform(command, bench.hands)]


# --- the gate ---


def test_secured_work_is_tested_in_its_own_worktree(h: History) -> None:
    cause = h.to("secured")
    assert due(h) == [StartGate("a", 1, "a-1-gate", PATH, commit("a-1"), "make test", cause)]


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


def test_a_gate_that_was_interrupted_is_followed_by_another(h: History) -> None:
    h.to("gate_requested")
    h.lost("a", 1, "a-1-gate")
    assert one(h).session == "a-1-gate-2"
    h.requested("a", 1, session="a-1-gate-2", kind="gate")
    assert due(h) == []
    h.exited("a", 1, session="a-1-gate-2", ok=False, code=-15, ended_by="killed")
    assert one(h).session == "a-1-gate-3"


def test_the_gate_starts_at_exactly_the_commit(bench: Any) -> None:
    tip = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, tip)
    bench.repository.write(PATH, {"left": "over\n"})
    start = StartGate("a", 1, "a-1-gate", PATH, tip, "make test", "cause")
    assert said(start, bench) == [SessionRequested("a-1-gate", 1, "gate", 7)]
    assert bench.repository.worktrees[PATH].files == {"README": "hello\n"}
    spec = bench.sessions.specs["a-1-gate"]
    assert (spec.argv, spec.cwd) == (["/bin/sh", "-c", "make test"], f"/repository/{PATH}")
    bench.repository.write(PATH, {"built": "by the test\n"})
    assert said(start, bench) == [SessionRequested("a-1-gate", 1, "gate", 0)]
    assert "built" in bench.repository.worktrees[PATH].files, "started again: it works in there"


@pytest.mark.parametrize(
    ("verdict", "final"),
    [(Verdict("passed"), None), (Verdict("failed", 1, "the tests fail", "E"), False), (Verdict("broken", 127), True)],
)
def test_what_a_gate_means(bench: Any, verdict: Verdict, final: bool | None) -> None:
    *rejected, finished = said(JudgeGate("a", 1, commit("a-1"), "make test", verdict, "cause"), bench)
    assert finished == GateFinished(1, commit("a-1"), verdict.word, "make test", verdict.code, verdict.output)
    wanted = [] if final is None else [WorkRejected(1, verdict.why, verdict.output, final)]
    assert rejected == wanted


def test_a_gate_that_cannot_be_started_ends_the_attempt_for_good() -> None:
    (each,) = builder.refused(StartGate("a", 1, "a-1-gate", PATH, BASE, "make test", "why"), SwarmError("no room"))
    assert (each.subject, each.cause, each.fact) == ("a", "why", WorkRejected(1, "no room", final=True))
