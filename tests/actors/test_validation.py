"""After a landing: nothing more lands before the target was judged, and what it does not accept is taken out again."""

import msgspec
import pytest

from swarm.actors import merger
from swarm.actors.hands import Recipe
from swarm.actors.validation import Revert
from swarm.eventlog.events import (
    IssueHeld,
    IssueReopened,
    MergeReverted,
    QueueHeld,
    QueueResumed,
    RunStarted,
    ValidationFinished,
)
from swarm.projections import issues

from queueing import good, queue_of, replaced, until_test


def test_what_landed_is_validated_before_the_next_lands() -> None:
    queue = queue_of(2, batch_max=1, validate="make check")
    queue.settle()
    order = [event.type for event in queue.events if event.type in ("merge.landed", "validation.finished")]
    assert order == ["merge.landed", "validation.finished"] * 2
    said = queue.of(ValidationFinished)[0].data
    assert (said.commit, said.verdict, said.command) == (queue.repository.moves[0], "passed", "make check")


@pytest.mark.parametrize(("mode", "count"), [("merge", 1), ("merge", 3), ("squash", 3), ("rebase", 2)])
def test_what_the_validation_does_not_accept_is_taken_out_again_and_its_issues_reopened(mode: str, count: int) -> None:
    queue = queue_of(count, validate="make check", rollback=True, mode=mode)
    before = queue.repository.files(queue.repository.tip("main"))
    until_test(queue)
    queue.finish()
    queue.says = lambda _files, _run: 1
    queue.settle()
    assert queue.repository.files(queue.repository.tip("main")) == before
    names = [f"i{n}" for n in range(count)]
    assert (queue.issues(MergeReverted), queue.issues(IssueReopened)) == (names, names)
    assert "make check" in queue.of(IssueReopened)[0].data.reason


@pytest.mark.parametrize("mode", ["squash", "rebase"])
@pytest.mark.parametrize("others", [[], ["new"]])
def test_what_was_in_the_target_before_is_not_taken_out_with_who_did_the_same_again(
    mode: str, others: list[str]
) -> None:
    queue = queue_of(0, validate="make check", rollback=True, mode=mode)
    for name in ("first", "again"):
        queue.branch(name, {"x": "1\n"})  # two agents had the same idea
    until_test(queue)
    for name in others:
        queue.branch(name, {name: "1\n"})
    queue.says = lambda _files, _run: int(queue.landed[-1:] != ["first"] and "again" in queue.landed)
    queue.settle()
    assert "x" in queue.repository.files(queue.repository.tip("main"))
    assert (queue.issues(MergeReverted), queue.issues(IssueReopened)) == (others, others)


def test_it_is_taken_out_of_the_branch_on_which_it_landed_though_others_land_elsewhere_now() -> None:
    queue = queue_of(1, lambda _files, run: int(run > 0), validate="make check", rollback=True)
    while not queue.of(ValidationFinished):
        assert queue.round() or queue.finish()
    queue.add(RunStarted(1, "boot", 1, "0", "staging", "shell", 4, 1, gates=list(queue.gates)), "run-2")
    (revert,) = merger.due(queue.board, queue.now)
    assert isinstance(revert, Revert)
    assert revert.target == "main"


def test_what_git_will_not_take_out_holds_the_queue_with_its_words() -> None:
    queue = queue_of(1, lambda _files, run: int(run > 0), validate="make check", rollback=True)
    while not queue.of(ValidationFinished):
        assert queue.round() or queue.finish()
    del queue.repository.refs["refs/heads/main"]
    queue.settle()
    assert "there is no branch main" in queue.of(QueueHeld)[0].data.reason


def test_an_issue_that_was_taken_out_as_often_as_it_may_be_tried_again_is_held() -> None:
    """Each reopening begins to count anew: so one that never passes would land, and cost, for ever."""
    queue = queue_of(2, validate="make check", rollback=True)
    queue.add(MergeReverted(7, "main", "c", "d", "it was bad"), "i0")
    generation = queue.board[issues.State].all["i0"].generation
    until_test(queue)
    queue.finish()
    queue.says = lambda _files, _run: 1
    queue.settle()
    assert (queue.issues(IssueHeld), queue.issues(IssueReopened)) == (["i0"], ["i1"])
    held = queue.of(IssueHeld)[0].data
    assert (held.generation, held.attempt) == (generation, 1)
    assert held.reason.endswith("make check; no retries are left")


def test_without_rollback_a_failed_validation_is_only_said() -> None:
    queue = queue_of(2, batch_max=1, validate="make check")
    until_test(queue)
    queue.finish()
    queue.says = lambda _files, run: int(run == 1)
    queue.settle()
    assert (queue.landed, queue.of(MergeReverted)) == (["i0", "i1"], [])
    assert [event.data.verdict for event in queue.of(ValidationFinished)] == ["failed", "passed"]


def test_a_validation_that_cannot_judge_twice_holds_the_queue() -> None:
    queue = queue_of(2, lambda _files, run: 126 if 0 < run < 4 else 0, batch_max=1, validate="make check")
    queue.settle()
    assert (queue.landed, queue.of(QueueHeld)[0].data.kind) == (["i0"], "infrastructure")
    queue.add(QueueResumed(), "run-1")
    assert queue.settle().landed == ["i0", "i1"]


@pytest.mark.parametrize(("then", "used"), [("make right", "make right"), ("", "make rigth")])
def test_another_command_takes_the_place_of_one_that_cannot_judge(then: str, used: str) -> None:
    queue = queue_of(2, batch_max=1, validate="make rigth")
    until_test(queue)
    queue.finish()
    queue.says = lambda _files, _run: 127
    assert queue.settle().landed == ["i0"]
    replaced(queue, validate=then)
    queue.says = good
    queue.start()
    assert queue.settle().landed == ["i0", "i1"]
    said = [(event.data.verdict, event.data.command) for event in queue.of(ValidationFinished)]
    assert said[0] == ("broken", "make rigth")
    assert next(command for verdict, command in said if verdict == "passed") == used


def test_a_verdict_is_not_asked_for_again_with_another_command() -> None:
    queue = queue_of(1, validate="make check").settle()
    replaced(queue, validate="make other")
    queue.start()
    assert merger.due(queue.board, queue.now) == []


def test_every_worktree_of_the_merger_gets_what_the_recipe_says_and_is_set_up_in_the_same_session() -> None:
    queue = queue_of(1, validate="make check")
    queue.repository.ignored = {".env": "KEY=1"}
    recipe = Recipe(copy=(".env",), setup="npm ci", seconds=60.0)
    queue.hands = msgspec.structs.replace(queue.hands, recipe=recipe)
    specs = []
    for _ in range(2):
        until_test(queue)
        specs += queue.programs.open.values()
        assert [tree.ignored for path, tree in queue.repository.worktrees.items() if "merger" in path] == [
            {".env": "KEY=1"}
        ]
        queue.finish()
    assert [spec.kind for spec in specs] == ["landing", "validation"]
    for spec, test in zip(specs, ("make test", "make check"), strict=True):
        assert spec.argv[3:] == ["sh", "npm ci", "/bin/sh", "-c", test]
        assert spec.timeout == 1860.0


def test_what_landed_before_there_was_a_validation_is_not_looked_at() -> None:
    queue = queue_of(1).settle()
    replaced(queue, validate="make check")
    queue.start()
    assert merger.due(queue.board, queue.now) == []
