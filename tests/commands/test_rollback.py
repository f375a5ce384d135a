"""`swarm rollback`: what is meant, what is reverted, and what stands in the log then."""

from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import IssueClosed, IssueOpened, MergeLanded, MergeQueued
from swarm.eventlog.tail import read_all
from swarm.projections import issues
from swarm.world import Branch
from swarm.world.clock import now
from swarm.world.git import Git

import repository

A, B = "sw-0000000a", "sw-0000000b"


def landed(home: Home, repo: repository.Scratch, *names: str, mode: str = "merge") -> str:
    """Work on these issues landed together; returns the target's tip."""
    git, base = Git(str(repo.root), str(repo.common)), repo.git("rev-parse", "main")
    branches = []
    for name in names:
        repo.git("checkout", "-qb", f"work-{name}", base)
        repo.commit({name: "1\n"}, f"Do {name}")
        branches.append(Branch(name, "kim", f"Do {name}", repo.commit({name: "2\n"}, f"More {name}"), "event"))
    repo.git("checkout", "-q", "main")
    stacked = git.stack(base, branches, mode, "merger <merger@swarm.invalid>", now())
    repo.git("merge", "-q", "--ff-only", stacked.commit)
    for branch, own in zip(branches, stacked.commits, strict=True):
        (opened,) = home.append("human", [(branch.issue, IssueOpened(branch.title))])
        queued = MergeQueued(1, f"work-{branch.issue}", branch.commit)
        home.append("merger", [(branch.issue, queued)])
        home.append("merger", [(branch.issue, MergeLanded(1, "main", base, stacked.commit, batch="b-1", own=own))])
        home.append("coordinator", [(branch.issue, IssueClosed(opened.id))])
    return stacked.commit


def new(home: Home, before: int) -> list[tuple[str, str]]:
    return [(event.type, event.subject) for event in read_all(home.place.log)[before:]]


def test_nothing_has_landed_so_nothing_is_reverted(swarm: Any, home: Home) -> None:
    refused = swarm("rollback")
    assert (refused.code, "nothing has landed that could be reverted" in refused.err) == (2, True)


@pytest.mark.parametrize("mode", ["merge", "squash", "rebase"])
def test_one_issue_of_a_batch(swarm: Any, home: Home, repo: repository.Scratch, mode: str) -> None:
    tip = landed(home, repo, A, B, mode=mode)
    before = len(read_all(home.place.log))
    done = swarm("rollback", A, "--reason", "slow", "--json")
    assert done.code == 0, done.err
    assert set(repo.files("main")) == {"README", B}
    assert (repo.root / B).exists()
    assert not (repo.root / A).exists()
    assert new(home, before) == [("issue.reopened", A), ("merge.reverted", A)]
    reopened, reverted = read_all(home.place.log)[before:]
    assert reopened.data.reason == "rolled back: slow"
    assert (reverted.data.commit, reverted.data.revert) == (tip, repo.git("rev-parse", "main"))
    assert done.json["issues"] == [A]
    assert home.board()[issues.State].all[A].status == "open"


@pytest.mark.parametrize("mode", ["merge", "squash", "rebase"])
def test_the_last_landing_as_a_whole(swarm: Any, home: Home, repo: repository.Scratch, mode: str) -> None:
    first = landed(home, repo, "sw-0000000c")
    landed(home, repo, A, B, mode=mode)
    before = len(read_all(home.place.log))
    assert swarm("rollback").code == 0
    assert repo.git("rev-parse", "main^{tree}") == repo.git("rev-parse", f"{first}^{{tree}}")
    assert {subject for _, subject in new(home, before)} == {A, B}
    assert swarm("rollback").code == 0, "then the one before it"
    assert set(repo.files("main")) == {"README"}
    assert swarm("rollback").code == 2


def test_a_dry_run_and_what_cannot_be_reverted_change_nothing(swarm: Any, home: Home, repo: repository.Scratch) -> None:
    landed(home, repo, A)
    before, tip = len(read_all(home.place.log)), repo.git("rev-parse", "main")
    assert "can be reverted on main" in swarm("rollback", A, "--dry-run").out
    assert (repo.git("rev-parse", "main"), new(home, before)) == (tip, [])
    later = repo.commit({A: "mine\n"})
    for args in ((A,), (A, "--dry-run")):
        refused = swarm("rollback", *args)
        assert (refused.code, f"later changes of {A} stand on it" in refused.err) == (1, True)
    assert (repo.git("rev-parse", "main"), new(home, before)) == (later, [])


def test_what_a_person_took_out_by_hand_is_not_there_any_more(swarm: Any, home: Home, repo: repository.Scratch) -> None:
    tip = landed(home, repo, A)
    repo.git("revert", "--no-edit", "-m", "1", tip)
    refused = swarm("rollback", A)
    assert (refused.code, "there is nothing to revert" in refused.err) == (2, True)
    repo.git("reset", "-q", "--hard", f"{tip}~1")
    assert "is not on main" in swarm("rollback", A).err


@pytest.mark.parametrize("word", ["sw-ffffffff", "f" * 40, "main", "-x", "abc"])
def test_what_is_not_there_is_a_wrong_word(swarm: Any, home: Home, repo: repository.Scratch, word: str) -> None:
    landed(home, repo, A)
    before = len(read_all(home.place.log))
    assert swarm("rollback", "--", word).code == 2
    assert new(home, before) == []


def test_the_issue_may_stay_closed(swarm: Any, home: Home, repo: repository.Scratch) -> None:
    landed(home, repo, A)
    before = len(read_all(home.place.log))
    assert swarm("rollback", "--keep-closed").code == 0
    assert new(home, before) == [("merge.reverted", A)]
    assert home.board()[issues.State].all[A].status == "done"
