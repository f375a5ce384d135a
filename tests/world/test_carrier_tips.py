"""Tips that are no commits, or damaged: a sync says what is so, and goes on from the folder, which has everything."""

from pathlib import Path

import pytest

from swarm.world.door import GitError

from clones import REF, Clone, Hub, hub, plain, same

__all__ = ["hub"]

REMEMBERED = "refs/swarm/remote/origin/log"


def two(hub: Hub) -> tuple[Clone, Clone]:
    """Two clones that share what one of them has written; that one has written more since."""
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    one.issue("sw-b")
    return one, other


def loose(clone: Clone, name: str) -> Path:
    """The file of an object."""
    id_ = clone.git("rev-parse", name)
    return clone.common / "objects" / id_[:2] / id_[2:]


def empty(path: Path) -> None:
    """As a loss of power can leave it."""
    path.chmod(0o600)
    path.write_bytes(b"")


def no_commit(at: Path) -> str:
    """A file's content in the object store."""
    (at / "junk").write_text("junk\n")
    return plain("hash-object", "-w", "junk", at=at)


def check_converged(hub: Hub) -> None:
    hub.settle()
    assert same(hub.clones)
    assert {event.subject for event in hub.clones[0].events()} >= {"sw-a", "sw-b"}
    assert hub.clones[0].carrier.sync().notes == []


def test_a_remote_whose_branch_is_no_commit_is_told_and_its_tip_is_not_kept(hub: Hub) -> None:
    one, _ = two(hub)
    (hub.bare / REF).write_text(no_commit(hub.bare) + "\n")
    for _turn in range(2):
        with pytest.raises(GitError, match="what origin has on its branch swarm-log is no commit") as raised:
            one.carrier.sync()
        assert not one.git("for-each-ref", REMEMBERED)
    assert raised.value.hint.startswith(f"git push origin :{REF}; swarm sync")
    one.git("push", "--quiet", "origin", f":{REF}")
    check_converged(hub)


def test_a_remembered_tip_that_is_no_commit_is_begun_anew(hub: Hub) -> None:
    one, _ = two(hub)
    one.git("update-ref", REMEMBERED, no_commit(one.root))
    assert [note.split()[0] for note in one.carrier.sync().notes] == [REMEMBERED]
    check_converged(hub)


def test_a_tip_that_is_not_there_is_begun_anew(hub: Hub) -> None:
    one, _ = two(hub)
    loose(one, REF).unlink()
    assert [note.split()[0] for note in one.carrier.sync().notes] == [REF, REMEMBERED]
    check_converged(hub)


@pytest.mark.parametrize("what", ["", "^{tree}", ":NAME"])
def test_a_tip_that_is_damaged_is_not_put_down_to_the_remote_and_the_words_mend_it(hub: Hub, what: str) -> None:
    one, _ = two(hub)
    empty(loose(one, REF + what.replace("NAME", one.names()[-1])))
    Path(one.place.cache, "carried.json").unlink()
    with pytest.raises(GitError, match=r"git cannot read|damaged") as raised:
        one.carrier.sync()
    assert "origin" not in str(raised.value)
    for words in raised.value.hint.split("; ")[1:-1]:
        plain("-c", f"alias.x=!{words}", "x", at=one.root)
    check_converged(hub)


def test_a_fresh_clone_passes_over_a_branch_that_it_cannot_read(hub: Hub) -> None:
    two(hub)
    fresh = hub.clone("fresh")
    loose_tip = hub.tip()
    fresh.git("update-ref", "-d", "refs/remotes/origin/swarm-log")
    (fresh.common / "refs/remotes/origin/swarm-log").write_text(no_commit(fresh.root) + "\n")
    done = fresh.carrier.adopt()
    assert "cannot be read" in done.notes[0]
    assert not fresh.git("for-each-ref", REMEMBERED)
    assert hub.tip() == loose_tip
    check_converged(hub)


@pytest.mark.parametrize("how", [["--single-branch"], ["--depth", "1"]])
def test_a_clone_that_fetches_one_branch_is_told_to_sync(hub: Hub, how: list[str]) -> None:
    one, _ = two(hub)
    assert hub.clone("whole").carrier.adopt().notes == []
    plain("clone", "--quiet", *how, f"file://{hub.bare}", "narrow", at=hub.folder)
    narrow = Clone(hub.folder / "narrow")
    hub.clones.append(narrow)
    (note,) = narrow.carrier.adopt().notes
    assert note.endswith("swarm sync")
    one.carrier.sync()
    narrow.carrier.sync()
    assert narrow.ids() == one.ids()
