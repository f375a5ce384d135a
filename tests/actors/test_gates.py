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
        ({"code": -11, "ok": False}, gates.FAILED),  # the program under test crashed: that is a verdict
        ({"code": 139, "ok": False}, gates.FAILED),
        ({"code": -9, "ok": False}, gates.BROKEN),
        ({"code": -15, "ok": False}, gates.BROKEN),
        ({"code": 137, "ok": False}, gates.BROKEN),
        ({"code": -9, "ok": False, "ended_by": "killed"}, gates.BROKEN),
        ({"code": -9, "ok": False, "ended_by": "memory"}, gates.BROKEN),
        ({"code": 0, "ended_by": "output"}, gates.BROKEN),
        ({"code": -9, "ok": False, "ended_by": "processes"}, gates.BROKEN),
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


def test_a_test_that_ran_nothing_has_not_judged(h: History) -> None:
    h.to("gate_exited", tail="running 0 tests", output=20)
    said = gates.verdict(session(h))
    assert (said.word, said.why) == (gates.BROKEN, "no test ran, says cargo (exit code 0)")


def test_where_not_all_of_the_output_is_known_a_runner_that_goes_package_by_package_is_believed(h: History) -> None:
    h.to("gate_exited", tail="running 0 tests", output=gates.WHOLE + 1)
    assert gates.verdict(session(h)).word == gates.PASSED


def test_where_its_host_has_read_all_of_the_output_that_host_is_believed(h: History) -> None:
    h.to("gate_exited", tail="the end", output=gates.WHOLE + 1, empty="go")
    said = gates.verdict(session(h))
    assert (said.word, said.why) == (gates.BROKEN, "no test ran, says go (exit code 0)")


def test_a_lost_test_has_not_judged(h: History) -> None:
    h.to("gate_requested")
    h.lost("a", 1, "a-1-gate")
    assert gates.verdict(session(h)).word == gates.BROKEN


def test_what_could_not_judge_is_counted_since_the_run_began_and_only_one_after_the_other(h: History) -> None:
    h.to("gate_requested")
    h.lost("a", 1, "a-1-gate")
    for number, code in enumerate([127, 1, 127, 126], 2):
        h.exited("a", 1, session=f"a-1-gate-{number}", ok=False, code=code)
    assert gates.broken(attempt(h), "a-1-gate", "", "make test") == 2
    h.exited("a", 1, session="a-1-gate-6", ok=False, code=-15, ended_by="killed")  # by a stop: it counts as nothing
    since = h.exited("a", 1, session="a-1-gate-7", ok=False, code=127)
    assert gates.broken(attempt(h), "a-1-gate", "", "make test") == 3
    assert gates.broken(attempt(h), "a-1-gate", since, "make test") == 0


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
