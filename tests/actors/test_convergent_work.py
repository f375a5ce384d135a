"""The five actors at work, in one thread, on a clock that a test moves: whatever fails, whenever it crashes, the work
comes to its end, once.
"""

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from swarm.actors.watchdog import START_GRACE
from swarm.eventlog.events import (
    BatchTested,
    IssueReopened,
    LandingHeld,
    MergeLanded,
    RunStarted,
    RunStopRequested,
    SessionKillRequested,
    SessionLost,
    WorkSecured,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.tail import read_all
from swarm.projections import issues

from driver import CLEAN, WORKS, check, check_replay, driver

# --- stories --------------------------------------------------------------------------------------


def test_an_issue_becomes_a_tested_commit_on_the_target() -> None:
    with driver({"a": ["well"]}) as d:
        d.run(Random(1))
        check(d)
        check_replay(d)
        assert d.status("a") == issues.DONE
        assert d.repository.files(d.repository.tip("main")) == CLEAN | {"a": "fine\n"}


def test_what_is_needed_lands_before_what_needs_it_begins() -> None:
    with driver({"a": ["well"], "b": ["well"]}, {"b": ["a"]}) as d:
        d.run(Random(1))
        (landed,), prepared = (
            d.events(MergeLanded, "a"),
            [e for e in d.events(Fact, "b") if e.type == "worktree.prepared"],
        )
        assert prepared[0].id > landed.id
        assert prepared[0].data.base == landed.data.commit


@pytest.mark.parametrize("work", ["fails", "nothing", "breaks", "dies", "dirty failure"])
def test_what_fails_twice_is_held_and_lands_nothing(work: str) -> None:
    with driver({"a": [work], "b": ["well"]}, {"b": ["a"]}) as d:
        d.run(Random(1))
        check(d)
        assert (d.status("a"), d.status("b")) == (issues.BLOCKED, issues.OPEN)
        assert d.repository.moves == []


@pytest.mark.parametrize("work", ["fails", "nothing", "breaks", "dies", "dirty failure"])
def test_what_fails_once_is_tried_again(work: str) -> None:
    with driver({"a": [work, "well"]}) as d:
        d.run(Random(1))
        check(d)
        assert d.status("a") == issues.DONE


@pytest.mark.parametrize("work", ["dies", "dirty failure"])
def test_what_a_failed_agent_left_is_kept(work: str) -> None:
    with driver({"a": [work, "well"]}) as d:
        d.run(Random(1))
        secured = d.events(WorkSecured)[0].data
        assert secured.ref == "refs/swarm/wip/builder-1/a-1"
        assert d.repository.refs[secured.ref] == secured.commit
        assert d.repository.files(secured.commit)["a"] == "fine\n"


def test_branches_that_clash_land_one_after_the_other_or_not_at_all() -> None:
    with driver({"a": ["clashes"], "b": ["clashes", "well"]}) as d:
        d.run(Random(1))
        check(d)
        assert (d.status("a"), d.status("b")) == (issues.DONE, issues.DONE)


def test_a_target_that_moves_during_the_test_is_merged_and_tested_again() -> None:
    with driver({"a": ["well"]}) as d:
        while not d.events(BatchTested):
            if not d.round():
                landing = [name for name in d.sessions.open() if name.startswith("b-")]
                if landing and "person" not in d.repository.files(d.repository.tip("main")):
                    d.repository.commit("main", {"person": "work\n"})
                d.move(Random(1))
        d.run(Random(1))
        check(d)
        assert len(d.events(BatchTested)) == 2
        assert d.repository.files(d.repository.tip("main")) == CLEAN | {"a": "fine\n", "person": "work\n"}


def test_a_landing_that_is_in_a_persons_way_waits_and_lets_others_pass() -> None:
    with driver({"a": ["well"], "b": ["well"]}, agents_=1) as d:
        d.repository.dirty.add("a")
        d.run(Random(1))
        assert d.status("b") == issues.DONE
        assert d.status("a") == issues.IN_PROGRESS
        held = [e.data.commit for e in d.events(LandingHeld)]
        assert len(held) == len(set(held)) == 2, "said once for each merge: b's landing made a's be merged anew"
        d.repository.dirty.clear()
        d.run(Random(1))
        check(d)
        assert d.status("a") == issues.DONE


def test_a_session_that_a_person_kills_is_no_failure() -> None:
    with driver({"a": ["well"]}) as d:
        while not d.sessions.open():
            d.round()
        d.person(SessionKillRequested("a-1", 1, "enough"), "a")
        d.run(Random(1))
        check(d)
        issue = d.board()[issues.State].all["a"]
        assert (issue.status, issue.failures, len(issue.attempts)) == (issues.DONE, 0, 2)


@pytest.mark.parametrize("kind", ["agent", "gate", "landing"])
def test_stop_now_ends_what_runs_and_starts_nothing_until_the_next_run(kind: str) -> None:
    with driver({"a": ["well"], "b": ["well"]}, agents_=1) as d:
        while kind not in [d.sessions.specs[name].kind for name in d.sessions.open()]:
            if not d.round():
                d.move(Random(1))
        d.person(RunStopRequested(agents=True), "run-1")
        for name in d.sessions.open():
            d.person(SessionKillRequested(name, 1, "stop"), d.sessions.specs[name].issue)
        begun = list(d.sessions.begun)
        while d.round():
            pass
        assert (d.sessions.open(), d.sessions.begun) == ([], begun)
        d.person(RunStarted(1, "boot", 1, "0", "main", "shell", 1, 1, test="make test"), "run-2")
        d.run(Random(1))
        check(d)
        assert (d.status("a"), d.status("b")) == (issues.DONE, issues.DONE)


def test_a_host_that_never_came_up_is_given_up_and_the_issue_tried_again() -> None:
    with driver({"a": ["well"]}, slow=True) as d:
        while d.round():
            pass
        assert d.sessions.begun == []
        d.now += START_GRACE + 1
        d.vain.clear()
        while d.round():
            pass
        d.sessions.begin("a-1")  # at last, but it must not run any more
        assert "a-1" not in d.sessions.begun
        assert len(d.events(SessionLost)) == 1
        d.sessions.slow = False
        for name in d.sessions.pending():
            d.sessions.begin(name)
        d.run(Random(1))
        check(d)
        assert d.status("a") == issues.DONE


def test_what_is_reopened_is_done_again_from_the_new_target() -> None:
    with driver({"a": ["well", "dirty failure", "clashes"]}) as d:
        d.run(Random(1))
        d.person(IssueReopened("again"), "a")
        d.run(Random(1))
        issue = d.board()[issues.State].all["a"]
        assert (issue.status, len(issue.attempts), len(d.repository.moves)) == (issues.DONE, 3, 2)


# --- anything -------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Issues, what their agents do, and what needs what (only earlier ones: no circles)."""
    names = list("abcd")[: draw(st.integers(1, 4))]
    works = {name: draw(st.lists(st.sampled_from(WORKS), min_size=1, max_size=2)) for name in names}
    needs = {name: draw(st.lists(st.sampled_from(names[:n]), unique=True)) if n else [] for n, name in enumerate(names)}
    return works, needs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), st.frozensets(st.integers(1, 60), max_size=6), st.booleans(), st.integers(1, 3), st.integers(0, 99))
@example(({"a": ["well"]}, {}), frozenset(range(1, 60, 2)), False, 1, 0)
@example(({"a": ["well"], "b": ["breaks"]}, {}), frozenset(range(1, 90)), True, 2, 0)
def test_all_work_ends_once_whatever_fails_and_whenever_it_crashes(
    plan: tuple[dict[str, list[str]], dict[str, list[str]]],
    crashes: frozenset[int],
    slow: bool,
    agents_: int,
    seed: int,
) -> None:
    works, needs = plan
    with driver(works, needs, crashes, slow, agents_) as d:
        d.run(Random(seed))
        check(d)
        check_replay(d)


ACTS = st.dictionaries(st.integers(0, 40), st.sampled_from(["kill", "close", "reopen", "commit"]), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), st.frozensets(st.integers(1, 60), max_size=3), ACTS, st.integers(1, 3), st.integers(0, 99))
def test_all_work_ends_once_whatever_a_person_does_meanwhile(
    plan: tuple[dict[str, list[str]], dict[str, list[str]]],
    crashes: frozenset[int],
    acts: dict[int, str],
    agents_: int,
    seed: int,
) -> None:
    works, needs = plan
    with driver(works, needs, crashes, agents_=agents_) as d:
        d.run(Random(seed), acts)
        check(d)
        check_replay(d)


def test_a_crash_after_each_single_deed_changes_nothing_in_the_end() -> None:
    with driver({"a": ["well"], "b": ["breaks", "well"]}) as d:
        d.run(Random(1))
        deeds = next(d.deeds)
        want = d.repository.files(d.repository.tip("main"))
    assert deeds > 20
    for number in range(1, deeds):
        with driver({"a": ["well"], "b": ["breaks", "well"]}, crashes=frozenset([number])) as d:
            d.run(Random(1))
            check(d)
            assert d.repository.files(d.repository.tip("main")) == want
            assert (d.status("a"), d.status("b")) == (issues.DONE, issues.DONE)


def test_the_work_of_four_issues_leaves_a_chain_of_causes() -> None:
    with driver({"a": ["well"]}) as d:
        d.run(Random(1))
        events = {e.id: e for e in read_all(d.folder)}
        (closed,) = (e for e in events.values() if e.type == "issue.closed")
        chain, event = [], closed
        while event.causationid:
            event = events[event.causationid]
            chain.append(event.type)
        assert chain[-1] == "issue.opened"
        assert {
            "merge.landed",
            "batch.tested",
            "batch.formed",
            "gate.finished",
            "work.secured",
            "issue.assigned",
        } <= set(chain)


def test_the_folder_of_a_run_is_a_plain_log() -> None:
    with driver({"a": ["well"]}) as d:
        d.run(Random(1))
        assert [path.name for path in Path(d.folder).iterdir()] == ["n1.jsonl"]
