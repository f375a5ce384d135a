"""Gates: only an exit code that a test can give is a verdict."""

from typing import Any

import pytest

from swarm.actors import gates
from swarm.eventlog.events import Gate, GateFinished, SessionExited
from swarm.projections import agents, runs

from history import History, commit


def session(h: History, name: str = "a-1-gate") -> agents.Session:
    return attempt(h).sessions[name]


def attempt(h: History) -> agents.Attempt:
    return h.board()[agents.State].attempts["a", 1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"code": 0}, gates.PASSED),
        ({"code": 1, "ok": False}, gates.FAILED),
        ({"code": 2, "ok": False}, gates.FAILED),
        ({"code": -9, "ok": False}, gates.FAILED),
        ({"code": 126, "ok": False}, gates.BROKEN),
        ({"code": 127, "ok": False}, gates.BROKEN),
        ({"code": 127, "ok": False, "ended_by": "missing"}, gates.BROKEN),
        ({"code": -15, "ok": False, "ended_by": "timeout", "seconds": 1800.0}, gates.BROKEN),
        ({"code": 0, "ended_by": "timeout"}, gates.BROKEN),
    ],
)
def test_what_the_end_of_a_test_means(h: History, changes: dict[str, Any], word: str) -> None:
    h.to("gate_exited", tail="the end", **changes)
    said = gates.verdict(session(h))
    assert (said.word, said.code, said.output) == (word, changes["code"], "the end")
    assert bool(said.why) == (word != gates.PASSED)


def test_the_first_gate_has_the_plain_name(h: History) -> None:
    h.to("secured")
    assert gates.newest(attempt(h), "a-1-gate") == ("a-1-gate", None)


def test_a_test_that_takes_its_host_down_again_and_again_is_broken(h: History) -> None:
    h.to("gate_requested")
    h.lost("a", 1, "a-1-gate")
    for number in range(2, gates.LOST_BEFORE + 1):
        name, found = gates.newest(attempt(h), "a-1-gate")
        assert (name, found) == (f"a-1-gate-{number}", None)
        h.requested("a", 1, session=name, kind="gate")
        h.lost("a", 1, name)
    name, found = gates.newest(attempt(h), "a-1-gate")
    assert found
    assert gates.verdict(found).word == gates.BROKEN


def test_a_test_that_was_killed_has_never_judged(h: History) -> None:
    h.to("secured")
    for number in range(1, 9):
        name, found = gates.newest(attempt(h), "a-1-gate")
        assert (name, found) == ("a-1-gate" if number == 1 else f"a-1-gate-{number}", None)
        h.add(SessionExited(name, 1, -15, ok=False, seconds=1.0, ended_by="killed"), "a")


def test_the_spec_runs_the_command_with_the_shell_within_the_limits(bench: Any) -> None:
    spec = gates.spec(bench.hands, "make test", "a-1-gate", "a", 1, "gate", "/somewhere", "cause")
    assert (spec.argv, spec.cwd, spec.kind) == (["/bin/sh", "-c", "make test"], "/somewhere", "gate")
    assert (spec.timeout, spec.cap) == (bench.hands.limits.gate, bench.hands.limits.log)
    assert (spec.causationid, spec.correlationid, spec.run_dir) == ("cause", "run-1", "/runs/a-1-gate")


def test_a_gate_judges_attempts_or_what_is_to_land_or_both_and_one_for_landings_comes_last(h: History) -> None:
    gate = {when: Gate(when, "true", when=when) for when in ("landing", "attempt", "both", "batch")}
    h.run(gates=[*gate.values()])
    settings = h.board()[runs.State].settings
    assert settings
    assert gates.chosen(settings, "attempt") == [gate["attempt"], gate["both"]]
    assert gates.chosen(settings, "batch") == [gate["both"], gate["batch"], gate["landing"]]


def test_a_lone_test_command_is_the_gate_of_both(h: History) -> None:
    h.run(test="make test")
    settings = h.board()[runs.State].settings
    assert settings
    assert gates.chosen(settings, "attempt") == gates.chosen(settings, "batch") == [Gate("test", "make test", 0.0)]


def passed(h: History) -> str:
    settings = h.board()[runs.State].settings
    assert settings
    return gates.passed(attempt(h), settings)


def test_an_attempt_has_passed_when_each_of_its_gates_let_its_secured_commit_pass(h: History) -> None:
    h.run(gates=[Gate("lint", "ruff"), Gate("unit", "pytest"), Gate("slow", "pytest", when="landing")])
    h.to("secured")
    assert passed(h) == ""
    for gate, commit_id, wanted in [
        ("unit", commit("a-1"), ""),
        ("lint", commit("another"), ""),
        ("lint", commit("a-1"), commit("a-1")),
    ]:
        h.add(GateFinished(1, commit_id, "passed", gate=gate), "a")
        assert passed(h) == wanted
    h.add(GateFinished(1, commit("a-1"), "broken", gate="unit"), "a")
    assert passed(h) == ""


@pytest.mark.parametrize(("verdict", "good"), [("passed", True), ("none", True), ("failed", False), ("broken", False)])
def test_a_gate_without_a_name_is_the_lone_test(h: History, verdict: str, good: bool) -> None:
    h.to("gated", verdict=verdict)
    assert passed(h) == (commit("a-1") if good else "")


def test_without_a_gate_the_attempt_has_passed_once_that_was_said(h: History) -> None:
    h.run(gates=[Gate("unit", "pytest", when="batch")])
    h.to("secured")
    assert passed(h) == ""
    h.add(GateFinished(1, commit("a-1"), "none"), "a")
    assert passed(h) == commit("a-1")
