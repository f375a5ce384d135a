"""A conflicted merge is laid out for an agent, and what it made of it has both sides behind it, or does not land."""

import shutil
from pathlib import Path

import pytest

from swarm.world import Secured
from swarm.world.git import Git, GitError

from repository import Scratch, make

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH, PATH = "swarm/kim/i-2", ".swarm/worktrees/i-2"
HEADS, WIP = f"refs/heads/{BRANCH}", "refs/swarm/wip/kim/i-2"


class Scene:
    """Work that does not merge into the target."""

    def __init__(self, scratch: Scratch, theirs: dict[str, str], ours: dict[str, str], drop: str = "") -> None:
        self.scratch, self.git = scratch, Git(str(scratch.root), str(scratch.common))
        place = scratch.root.parent / "work"
        scratch.git("worktree", "add", "--quiet", "-b", "work", str(place), "main")
        self.work = scratch.commit(theirs, at=place)
        scratch.git("worktree", "remove", "--force", str(place))
        if drop:
            (scratch.root / drop).unlink()
        self.base = scratch.commit(ours)
        self.worktree = scratch.root / PATH

    def prepare(self) -> None:
        self.git.prepare(PATH, BRANCH, self.base, self.work, resolve=True)

    def secure(self, ref: str = HEADS) -> Secured:
        return self.git.secure(PATH, BRANCH, self.base, ref, "Resolve it", AUTHOR, self.work, resolve=True)

    def agent(self, *args: str) -> str:
        return self.scratch.git(*args, at=self.worktree)

    def parents(self, commit: str) -> list[str]:
        return self.scratch.git("log", "-1", "--format=%P", commit).split()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scratch = make(tmp_path / "r", {"a": "1\n", "same": "s\n"})
    return Scene(scratch, {"a": "theirs\n", "b": "2\n"}, {"a": "ours\n", "c": "3\n"})


def test_an_agent_finds_what_git_merge_would_leave(scene: Scene) -> None:
    before = scene.scratch.git("status", "--porcelain=v2", "--branch")
    scene.prepare()
    assert scene.agent("status", "--porcelain") == "UU a\nA  b"
    assert scene.agent("rev-parse", "HEAD", "MERGE_HEAD").split() == [scene.base, scene.work]
    marks = f"<<<<<<< {scene.base}\nours\n=======\ntheirs\n>>>>>>> {scene.work}\n"
    assert (scene.worktree / "a").read_text() == marks
    assert scene.scratch.git("status", "--porcelain=v2", "--branch") == before
    with pytest.raises(AssertionError, match="unmerged"):
        scene.agent("commit", "--no-edit")


@pytest.mark.parametrize("committed", ["not", "as a merge", "as a plain commit", "and went elsewhere"])
def test_what_was_resolved_has_both_sides_behind_it_however_it_was_left(scene: Scene, committed: str) -> None:
    scene.prepare()
    scene.scratch.write({"a": "both\n"}, at=scene.worktree)
    if committed == "as a plain commit":
        (scene.scratch.common / "worktrees/i-2/MERGE_HEAD").unlink()
    if committed != "not":
        scene.agent("add", "-A")
        scene.agent("commit", "--quiet", "--no-edit", "-m", "resolved")
    if committed == "and went elsewhere":
        scene.agent("checkout", "--quiet", "--detach", scene.base)
    secured = scene.secure()
    assert scene.scratch.files(secured.commit) == {"a": "both", "b": "2", "c": "3", "same": "s"}
    assert scene.git.is_ancestor(scene.base, secured.commit)
    assert scene.git.is_ancestor(scene.work, secured.commit)
    assert secured.commits >= 2
    assert secured.files == ["a", "b"]
    assert scene.secure() == secured
    assert scene.git.tip(BRANCH) == secured.commit


def test_a_folder_that_vanished_after_a_plain_commit(scene: Scene) -> None:
    scene.prepare()
    (scene.scratch.common / "worktrees/i-2/MERGE_HEAD").unlink()
    scene.scratch.commit({"a": "both\n"}, at=scene.worktree)
    shutil.rmtree(scene.worktree)
    assert scene.parents(scene.secure().commit)[1] == scene.work


def test_marks_in_what_an_agent_committed_do_not_land_either(scene: Scene) -> None:
    scene.prepare()
    scene.agent("add", "-A")
    scene.agent("commit", "--quiet", "--no-edit")
    with pytest.raises(GitError, match="marks are left in a") as raised:
        scene.secure()
    assert raised.value.hint == "resolve them"
    wip = scene.secure(WIP)
    assert wip.notes == ["git's conflict marks are left in a"]
    assert scene.parents(wip.commit) == [scene.base, scene.work]


def test_a_text_that_has_marks_of_its_own_is_no_conflict(scene: Scene) -> None:
    scene.prepare()
    shown = "<<<<<<< HEAD\nhow git shows it\n=======\n>>>>>>> other\n"
    scene.scratch.write({"a": "both\n", "docs.md": shown}, at=scene.worktree)
    assert scene.secure().notes == []


def test_a_file_that_one_side_deleted(tmp_path: Path) -> None:
    scene = Scene(make(tmp_path / "r", {"a": "1\n"}), {"a": "theirs\n"}, {"c": "3\n"}, drop="a")
    scene.prepare()
    assert scene.agent("status", "--porcelain") == "UA a" or scene.agent("status", "--porcelain") == "DU a"
    assert scene.secure() == Secured(HEADS, scene.base, 0, [])  # nobody decided anything
    scene.scratch.write({"a": "kept after all\n"}, at=scene.worktree)
    assert scene.scratch.files(scene.secure().commit) == {"a": "kept after all", "c": "3"}


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    scene = Scene(make(tmp_path / "r", {"a": "1\n"}), {"x/y": "folder\n"}, {"x": "file\n"})
    for _ in range(2):
        scene.prepare()
    assert (scene.worktree / "x/y").read_text() == "folder\n"
    (beside,) = (path for path in scene.worktree.iterdir() if path.name.startswith("x~"))
    assert beside.read_text() == "file\n"
    beside.unlink()
    secured = scene.secure()
    assert scene.scratch.files(secured.commit) == {"a": "1", "x/y": "folder"}
    assert scene.git.resolved(scene.base, scene.work, secured.commit) == ["x: file"]


def test_work_that_merges_by_now_is_laid_out_merged(tmp_path: Path) -> None:
    scene = Scene(make(tmp_path / "r", {"a": "1\n"}), {"b": "2\n"}, {"c": "3\n"})
    scene.prepare()
    assert scene.agent("status", "--porcelain") == "A  b"
    scene.scratch.write({"d": "4\n"}, at=scene.worktree)
    assert scene.parents(scene.secure().commit) == [scene.base, scene.work]


@pytest.mark.parametrize("recycle", [True, False])
def test_a_folder_that_is_used_again_can_hold_a_conflict(scene: Scene, recycle: bool) -> None:
    scene.git.prepare(".swarm/worktrees/i-1", "swarm/kim/i-1", scene.base)
    scene.scratch.write({"left": "over\n"}, at=scene.scratch.root / ".swarm/worktrees/i-1")
    scene.git.remove(".swarm/worktrees/i-1", scene.base, recycle=recycle)
    scene.prepare()
    assert scene.agent("status", "--porcelain") == "UU a\nA  b"
    scene.git.remove(PATH, scene.base, recycle=recycle)
    scene.git.prepare(".swarm/worktrees/i-3", "swarm/kim/i-3", scene.base)
    assert scene.scratch.git("status", at=scene.scratch.root / ".swarm/worktrees/i-3").endswith("working tree clean")


@pytest.mark.parametrize("crashed", ["no index", "the target moved"])
def test_a_crash_while_it_was_laid_out_leaves_nothing_half_done(scene: Scene, crashed: str) -> None:
    scene.prepare()
    if crashed == "no index":
        (scene.scratch.common / "worktrees/i-2/index").unlink()
        (scene.worktree / "a").write_text("half writ")
    else:
        scene.base = scene.scratch.commit({"a": "ours, again\n"})
    scene.prepare()
    assert scene.agent("status", "--porcelain") == "UU a\nA  b"
    assert (scene.worktree / "a").read_text().startswith(f"<<<<<<< {scene.base}\nours")
    assert scene.git.tip(BRANCH) == scene.base


def test_the_files_attributes_of_the_base_decide(scene: Scene) -> None:
    scene.base = scene.scratch.commit({".gitattributes": "a merge=union\n"})
    scene.prepare()
    assert (scene.worktree / "a").read_text() == "ours\ntheirs\n"


# --- what was dropped -----------------------------------------------------------------------------


def test_a_renamed_file_is_compared_under_its_new_name(tmp_path: Path) -> None:
    long = "".join(f"{number}\n" for number in range(40))
    scratch = make(tmp_path / "r", {"long": long})
    scene = Scene(scratch, {"long": f"{long}theirs\n"}, {"long": f"ours\n{long}"})
    scene.prepare()
    (scene.worktree / "long").unlink()
    scene.scratch.write({"renamed": f"ours\n{long}"}, at=scene.worktree)
    assert scene.git.resolved(scene.base, scene.work, scene.secure().commit) == ["long: theirs"]


def test_what_is_dropped_is_bounded_and_printable(scene: Scene) -> None:
    many = "".join(f"\x1b[31m{number} é {'x' * 500}\n" for number in range(500))
    other = scene.scratch.root.parent / "other"
    scene.scratch.git("worktree", "add", "--quiet", "--detach", str(other), scene.work)
    work = scene.scratch.commit({"many": many, "binary": "a\0b", "large": "y\n" * 1_000_000}, at=other)
    found = scene.git.resolved(scene.base, work, scene.base)
    assert len(found) == 200
    assert {len(entry) for entry in found if entry.startswith("many")} == {200}
    assert all(entry.isprintable() for entry in found)
    assert "binary: (not compared: it is large, or no text)" in found
    assert "large: (not compared: it is large, or no text)" in found


def test_without_a_common_history_there_is_nothing_to_compare(scene: Scene) -> None:
    tree = scene.scratch.git("rev-parse", f"{scene.base}^{{tree}}")
    alone = scene.scratch.git("commit-tree", tree, "-m", "alone")
    with pytest.raises(GitError, match="no common history"):
        scene.git.resolved(scene.base, alone, scene.base)
