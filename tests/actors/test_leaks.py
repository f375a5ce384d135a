"""The leak guard: what is told of a checkout that is not as it was, and when an agent's work is held for it."""

from typing import Any

import msgspec
import pytest

from swarm.actors import builder, coordinator, merger
from swarm.actors.attempts import Secure
from swarm.actors.command import Command
from swarm.actors.leaks import Look
from swarm.eventlog.events import BatchFormed, CheckoutSeen, LeakCleared, LeakDetected, WorkRejected, WorkSecured
from swarm.eventlog.fact import Fact

from history import BASE, History, decided, deeds

PATH, BRANCH = ".swarm/worktrees/a-1", "swarm/builder-1/a-1"


def one(h: History) -> Any:
    (command,) = deeds(builder.due(h.board(), h.now))
    return command


def said(command: Command, bench: Any) -> list[Fact]:
    return [each.fact for each in builder.perform(command, bench.hands)]


@pytest.fixture
def begun(bench: Any) -> Secure:
    """The end of an attempt by kim, that wrote `new` into its worktree, and the checkout as it was before."""
    tip = bench.repository.tip("main")
    (seen,) = said(Look("a", 1, "cause"), bench)
    bench.repository.prepare(PATH, BRANCH, tip)
    bench.repository.write(PATH, {"new": "1\n"})
    assert isinstance(seen, CheckoutSeen)
    return Secure("a", 1, "kim", "Do a", PATH, BRANCH, tip, False, "", "", False, False, "cause", seen)


def test_the_checkout_is_seen_before_the_agent_begins(h: History, bench: Any) -> None:
    cause = h.to("prepared")
    look = one(h)
    assert look == Look("a", 1, cause)
    tip = bench.repository.tip("main")
    assert said(look, bench) == [CheckoutSeen(1, tip, "main", "", 0)]


def test_what_was_seen_is_compared_once(h: History) -> None:
    h.to("exited")
    assert one(h).seen == CheckoutSeen(1, BASE, "main", "")
    h.add(LeakDetected(1, "something"), "a")
    assert one(h).seen is None


def test_a_checkout_that_is_as_it_was_is_not_spoken_of(begun: Secure, bench: Any) -> None:
    assert [type(fact) for fact in said(begun, bench)] == [WorkSecured]


def test_our_own_landing_is_no_leak(begun: Secure, bench: Any) -> None:
    repository = bench.repository
    tip = repository.tip("main")
    repository.refs["refs/heads/other"] = tip
    ours = repository.merge(tip, repository.commit("other", {"b": "1\n"}), "m", "kim <kim@swarm.invalid>", 1.0)
    repository.land("main", tip, ours.commit)
    assert repository.tip("main") != tip
    assert [type(fact) for fact in said(begun, bench)] == [WorkSecured]


@pytest.mark.parametrize("who", ["person", "kim"])
def test_a_commit_is_told_and_is_the_agents_if_it_says_so(begun: Secure, bench: Any, who: str) -> None:
    repository = bench.repository
    tip = repository.tip("main")
    made = repository._keep((tip,), {"x": "1\n"}, f"{who} <{who}@swarm.invalid>")
    repository.refs["refs/heads/main"] = made
    leak, _ = said(begun, bench)
    evidence = f"kim made {made[:10]}" if who == "kim" else ""
    assert leak == LeakDetected(1, f"main got {made[:10]}", evidence)


def test_a_changed_file_is_told_and_is_the_agents_if_it_is_as_in_its_work(begun: Secure, bench: Any) -> None:
    bench.repository.dirty.add("notes")
    leak, _ = said(begun, bench)
    assert leak == LeakDetected(1, "files changed: notes", "", ["notes"])
    bench.repository.dirty.add("new")
    bench.repository.leaked.add("new")
    leak, _ = said(begun, bench)
    assert leak == LeakDetected(1, "files changed: new, notes", "new as in its work", ["new", "notes"])


def again(begun: Secure, bench: Any, **changes: Any) -> Secure:
    """The same, the checkout being seen (once more) only now."""
    (seen,) = said(Look("a", 1, "cause"), bench)
    return msgspec.structs.replace(begun, seen=msgspec.structs.replace(seen, **changes))


def test_what_was_there_before_is_neither_told_nor_evidence(begun: Secure, bench: Any) -> None:
    bench.repository.dirty |= {"dirty", "new"}
    bench.repository.leaked.add("new")
    later = again(begun, bench)
    assert [type(fact) for fact in said(later, bench)] == [WorkSecured]
    bench.repository.dirty.add("leak")
    leak, _ = said(later, bench)
    assert leak == LeakDetected(1, "files changed: leak", "", ["leak"])
    assert hash(later)


def test_what_was_there_before_and_is_gone_is_told_beside_what_came(begun: Secure, bench: Any) -> None:
    bench.repository.dirty |= {"dirty", "more"}
    later = again(begun, bench)
    bench.repository.dirty ^= {"dirty", "leak"}
    leak, _ = said(later, bench)
    assert leak == LeakDetected(1, "files changed: leak; changed files are gone", "", ["leak"])


def test_of_more_files_than_are_marked_only_those_that_both_looks_marked_count(begun: Secure, bench: Any) -> None:
    bench.repository.dirty |= {"a", "b", "c"}
    marks = sorted(bench.repository.checkout().marks.values())
    later = again(begun, bench, marks="".join(marks[:2]))
    assert [type(fact) for fact in said(later, bench)] == [WorkSecured]
    bench.repository.dirty |= {f"n{number}" for number in range(8)}
    edge = marks[1][:8]
    under = [name for name, mark in bench.repository.checkout().marks.items() if name[0] == "n" and mark[:8] < edge]
    assert 0 < len(under) < 8
    leak, _ = said(later, bench)
    assert leak.files == under  # type: ignore[attr-defined]
    bench.repository.dirty -= set(under)
    leak, _ = said(later, bench)
    assert (leak.what, leak.files) == ("files changed, among more than are looked at", [])  # type: ignore[attr-defined]


def test_what_an_old_swarm_saw_does_not_tell_one_file_from_another(begun: Secure, bench: Any) -> None:
    bench.repository.dirty.add("notes")
    old = msgspec.structs.replace(begun, seen=CheckoutSeen(1, bench.repository.tip("main"), "main", "another digest"))
    assert [type(fact) for fact in said(old, bench)] == [WorkSecured]


def test_a_failed_attempt_tells_its_leak_first(begun: Secure, bench: Any) -> None:
    bench.repository.dirty.add("notes")
    failed = msgspec.structs.replace(begun, wip=True, why="exit code 1")
    assert [type(fact) for fact in said(failed, bench)] == [LeakDetected, WorkRejected, WorkSecured]


@pytest.mark.parametrize("evidence", ["", "kim made 1234"])
def test_only_with_evidence_the_work_is_held_until_a_person_clears_it(h: History, evidence: str) -> None:
    h.to("exited")
    h.add(LeakDetected(1, "main got 1234", evidence), "a")
    h.to("queued")
    formed = [fact for _, fact in decided(merger.due(h.board(), h.now)) if isinstance(fact, BatchFormed)]
    assert bool(formed) is not bool(evidence)
    h.add(LeakCleared(1), "a")
    assert [type(fact) for _, fact in decided(merger.due(h.board(), h.now))] == [BatchFormed]
    assert builder.due(h.board(), h.now) == coordinator.due(h.board(), h.now) == []
