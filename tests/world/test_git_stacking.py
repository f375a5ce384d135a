"""Branches are stacked beside every checkout: the tree is what `git merge` would make, the messages are ours."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.world import Branch, Stacked
from swarm.world.git import Git, GitError

from repository import Scratch, make
from soak import amount

AUTHOR = "merger (swarm) <merger@swarm.invalid>"
TEXT = "".join(f"line {number}\n" for number in range(30))
MODES = ["merge", "squash", "rebase"]


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": TEXT, "src/b.py": "b\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def branch(scratch: Scratch, name: str, *edits: Callable[[Path], object], title: str = "", at: str = "main") -> Branch:
    """A branch with a commit for each of these changes of its files."""
    place = scratch.root.parent / f"{name}-worktree"
    scratch.git("worktree", "add", "--quiet", "--force", "-B", name, str(place), at)
    for number, edit in enumerate(edits):
        edit(place)
        commit = scratch.commit({}, f"{name}: step {number}", at=place)
    scratch.git("worktree", "remove", "--force", str(place))
    return Branch(name, "kim", title or f"Do {name}", commit, f"event-of-{name}")


def put(name: str, text: str) -> Callable[[Path], object]:
    def edit(place: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)

    return edit


def moved(old: str, new: str) -> Callable[[Path], object]:
    return lambda place: os.renames(place / old, place / new)


def stack(git: Git, *branches: Branch, mode: str = "merge", when: float = 1_800_000_000.7) -> Stacked:
    return git.stack(git.tip("main"), branches, mode, AUTHOR, when)


def trailers(scratch: Scratch, commit: str) -> list[str]:
    """As git itself reads them out of the message."""
    file = scratch.root.parent / "message"
    file.write_text(scratch.git("log", "-1", "--format=%B", commit) + "\n")
    return scratch.git("interpret-trailers", "--parse", str(file)).splitlines()


def of(each: Branch) -> list[str]:
    return [f"Swarm-Issue: {each.issue}", f"Swarm-Agent: {each.agent}", f"Swarm-Event: {each.event}"]


def look(scratch: Scratch) -> list[str]:
    how = ["status", "--porcelain=v2", "--branch", "--ignored"]
    return [scratch.git(*how), scratch.git("for-each-ref"), (scratch.common / "index").read_bytes().hex()]


# --- the commits ----------------------------------------------------------------------------------


def test_several_branches_are_one_merge_on_the_targets_line(scratch: Scratch, git: Git) -> None:
    one, two = branch(scratch, "one", put("one", "1")), branch(scratch, "two", put("two", "2"))
    base = git.tip("main")
    (scratch.root / "README").write_text("a person is at work\n")
    before = look(scratch)
    found = stack(git, one, two)
    assert look(scratch) == before
    assert stack(git, one, two) == found
    first, second = found.commits
    shape = [scratch.git("log", "-1", "--format=%P", commit) for commit in (first, second, found.commit)]
    assert shape == [f"{base} {one.commit}", f"{first} {two.commit}", f"{base} {second}"]
    assert scratch.git("rev-parse", f"{found.commit}^{{tree}}", f"{second}^{{tree}}").split() == [found.tree] * 2
    assert scratch.git("log", "--format=%s", "--first-parent", found.commit).splitlines()[1:] == ["start"]
    assert scratch.git("log", "-1", "--format=%s", found.commit) == "Merge 2 branches: one, two"
    assert trailers(scratch, found.commit) == [*of(one), *of(two)]
    assert scratch.git("log", "-1", "--format=%s", first) == "Merge Do one (one)"
    assert trailers(scratch, first) == of(one)
    signed = scratch.git("log", "-1", "--format=%an <%ae>|%cn|%ad|%cd", "--date=raw", first)
    assert signed == f"{AUTHOR}|Pat Person|1800000000 +0000|1800000000 +0000"
    assert scratch.git("fsck", "--strict", "--no-dangling") == ""


def test_squashed_branches_are_a_line_of_one_commit_each(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", put("one", "1"), put("one", "2"))
    two = branch(scratch, "two", put("two", "2"), title="-- -- Two")
    found = stack(git, one, two, mode="squash")
    assert found.commits[1] == found.commit
    assert scratch.git("log", "--format=%s", found.commit).splitlines() == ["Two", "Do one", "start"]
    assert trailers(scratch, found.commits[0]) == of(one)
    assert trailers(scratch, found.commits[1]) == of(two)


def test_rebased_commits_keep_who_wrote_them_when_and_what_they_say(scratch: Scratch, git: Git) -> None:
    def written(place: Path) -> None:
        put("src/a.py", TEXT.replace("line 3\n", "line three\n"))(place)
        message = "Über\n\nSwarm-Issue: forged\n---\nSigned-off-by: kim\n"
        who = ["-c", "user.name=Kïm K", "-c", "user.email=kim@example.org"]
        scratch.git("add", "-A", at=place)
        scratch.git(*who, "commit", "--quiet", "--date=@1700000000 +0130", "-m", message, at=place)

    one = branch(scratch, "one", written, put("src/a.py", TEXT.replace("line 3\n", "line 3!\n")), put("z", "z"))
    two = branch(scratch, "two", put("src/a.py", TEXT.replace("line 20\n", "line twenty\n")))
    base = git.tip("main")
    found = stack(git, two, one, mode="rebase")
    lines = scratch.git("log", "--format=%an|%ad|%cn|%s", "--date=raw", "--reverse", f"{base}..{found.commit}")
    first, second, third, fourth = lines.splitlines()  # the step after `written` changed nothing, and is left out
    assert second == "Kïm K|1700000000 +0130|Pat Person|Über"
    assert [line.rpartition("|")[2] for line in (first, third, fourth)] == ["two: step 0", "one: step 1", "one: step 2"]
    assert trailers(scratch, found.commits[1]) == [*of(one), f"Swarm-Since: {found.commits[0]}"]
    forging = scratch.git("rev-list", "--reverse", f"{base}..{found.commit}").split()[1]
    assert "> Swarm-Issue: forged" in scratch.git("log", "-1", "--format=%B", forging)
    assert trailers(scratch, forging) == ["Signed-off-by: kim"]
    assert "line 3!" in scratch.files(found.commit)["src/a.py"]
    assert "line twenty" in scratch.files(found.commit)["src/a.py"]


def test_a_branch_with_merges_in_it_is_rebased_as_one_commit(scratch: Scratch, git: Git) -> None:
    side = branch(scratch, "side", put("side", "s"))
    one = branch(scratch, "one", put("one", "1"), lambda place: scratch.git("merge", "--no-ff", "side", at=place))
    found = stack(git, one, mode="rebase")
    assert scratch.git("log", "--format=%s", found.commit).splitlines() == ["Do one", "start"]
    assert scratch.files(found.commit).keys() >= {"side", "one"}
    assert stack(git, side, one, mode="rebase").conflicts == {}


def test_a_step_that_conflicts_though_the_branch_merges_is_not_replayed_alone(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", put("src/b.py", "mine\n"), put("src/b.py", "b\n"), put("new", "n"))
    scratch.commit({"src/b.py": "theirs\n"})
    found = stack(git, one, mode="rebase")
    assert found.conflicts == {}
    assert scratch.git("log", "--format=%s", found.commit).splitlines()[0] == "Do one"
    assert scratch.files(found.commit)["src/b.py"] == "theirs"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "title",
    [
        "Fix\n\nSwarm-Issue: forged\nSwarm-Agent: forged",
        "Fix \x1b[31m\u202eit\x00\r\n---\r\nSwarm-Event: forged",
        "--- Swarm-Issue: forged",
        "# comment",
        "\n \t",
        "x" * 100_000,
        "\udcff Swarm-Issue: forged",
    ],
)
def test_no_title_passes_for_a_trailer(scratch: Scratch, git: Git, mode: str, title: str) -> None:
    one = branch(scratch, "one", put("one", "1"), title=title)
    two = branch(scratch, "two", put("two", "1"), title=title)
    found = stack(git, one, two, mode=mode)
    assert [trailers(scratch, commit) for commit in found.commits] == [of(one), of(two)]
    text = scratch.git("log", "-1", "--format=%B", found.commits[0])
    assert text.splitlines()[1] == ""
    assert text.isprintable() or set(text) - {"\n"} == {each for each in text if each.isprintable()}
    assert len(text.splitlines()[0]) <= 220


def test_an_unknown_mode_is_refused(scratch: Scratch, git: Git) -> None:
    with pytest.raises(GitError, match="no way to land called 'octopus'"):
        stack(git, mode="octopus")


def test_a_commit_that_is_not_there_is_an_error(scratch: Scratch, git: Git) -> None:
    with pytest.raises(GitError, match="rev-list failed"):
        stack(git, Branch("a", "kim", "t", "f" * 40))


# --- the files ------------------------------------------------------------------------------------


def test_renames_and_deletes_merge_as_git_merges_them(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", moved("src/a.py", "lib/c.py"))
    two = branch(scratch, "two", put("src/a.py", TEXT.replace("line 9\n", "nine\n")))
    three = branch(scratch, "three", lambda place: (place / "src/b.py").unlink())
    four = branch(scratch, "four", put("src/b.py", "changed\n"))
    found = stack(git, one, two, three, four)
    assert found.conflicts == {3: ["src/b.py"]}
    assert scratch.files(found.commit).keys() == {"README", "lib/c.py"}
    assert "nine" in scratch.files(found.commit)["lib/c.py"]


def test_a_file_in_the_place_of_a_folder_conflicts(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", put("x/y", "folder\n"))
    two = branch(scratch, "two", put("x", "file\n"))
    found = stack(git, one, two)
    assert found.commits[1] == ""
    (names,) = found.conflicts.values()
    assert any(name.startswith("x") for name in names)
    assert scratch.files(found.commit)["x/y"] == "folder"


def test_the_attributes_of_what_is_merged_into_decide_also_when_a_branch_brings_them(
    scratch: Scratch, git: Git
) -> None:
    scratch.commit({"log": "base\n"})
    one, two = branch(scratch, "one", put("log", "base\n1\n")), branch(scratch, "two", put("log", "base\n2\n"))
    rule = branch(scratch, "rule", put(".gitattributes", "log merge=union\n"))
    (scratch.root / ".gitattributes").write_text("log merge=union\n")  # a person's own, not committed
    assert stack(git, one, two).conflicts == {1: ["log"]}
    assert stack(git, one, two, rule).conflicts == {1: ["log"]}
    found = stack(git, rule, one, two)
    assert found.conflicts == {}
    assert scratch.files(found.commit)["log"] == "base\n1\n2"
    assert git.predict(stack(git, one, rule).commit, two.commit) == []
    gone = branch(scratch, "gone", lambda place: (place / ".gitattributes").unlink(), at=rule.commit)
    assert stack(git, rule, one, gone, two).conflicts == {3: ["log"]}


def test_attributes_in_folders_count_too(scratch: Scratch, git: Git) -> None:
    scratch.commit({"deep/er/log": "base\n", "deep/er/.gitattributes": "log merge=union\n"})
    ones = [branch(scratch, f"b{number}", put("deep/er/log", f"base\n{number}\n")) for number in range(3)]
    for mode in MODES:
        assert scratch.files(stack(git, *ones, mode=mode).commit)["deep/er/log"] == "base\n0\n1\n2"


def test_predicting_leaves_nothing_behind(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", put("src/b.py", "mine\n"), put("new", "n"))
    base = scratch.commit({"src/b.py": "theirs\n"})
    before = scratch.git("count-objects", "-v"), look(scratch)
    assert git.predict(base, one.commit) == ["src/b.py"]
    assert (scratch.git("count-objects", "-v"), look(scratch)) == before


def test_predicting_works_where_a_path_has_marks_that_git_takes_apart(tmp_path: Path) -> None:
    scratch = make(tmp_path / 'a:b "c" \\d', {"a": "1\n"})
    git = Git(str(scratch.root), str(scratch.common))
    one = branch(scratch, "one", put("a", "2\n"))
    assert git.predict(scratch.commit({"a": "3\n"}), one.commit) == ["a"]


# --- against git merge ----------------------------------------------------------------------------

NAMES = ["a", "b", "dir/c", "dir/d"]
EDITS = st.one_of(
    st.tuples(st.just("line"), st.sampled_from(NAMES), st.integers(0, 29)),
    st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(["moved", "dir/e", "new/f"])),
    st.tuples(st.just("drop"), st.sampled_from(NAMES), st.just(0)),
)
BRANCHES = st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=1, max_size=4)


def change(place: Path, how: str, name: str, more: object, mark: str) -> None:
    path = place / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"new in {mark}\n")
    elif how == "line":
        lines = path.read_text().splitlines(keepends=True)
        lines[int(str(more)) % len(lines)] = f"{mark}\n"
        path.write_text("".join(lines))
    elif how == "move":
        moved(name, str(more))(place)
    else:
        path.unlink()


@settings(max_examples=amount(12, 300), deadline=None)
@given(BRANCHES)
def test_a_stack_has_the_tree_that_git_merge_makes(found: list[list[tuple[str, str, object]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = make(Path(folder) / "r", {name: TEXT.replace("line", name) for name in NAMES})
        git = Git(str(scratch.root), str(scratch.common))
        branches = []
        for number, edits in enumerate(found):
            steps = [
                lambda place, edit=edit, number=number: change(place, *edit, mark=f"branch {number}") for edit in edits
            ]
            branches.append(branch(scratch, f"b{number}", *steps))
        results = {mode: stack(git, *branches, mode=mode) for mode in MODES}
        conflicting = set()
        for number, each in enumerate(branches):
            try:
                scratch.git("merge", "--quiet", "--no-ff", "--no-edit", each.commit)
            except AssertionError:
                conflicting.add(number)
                scratch.git("merge", "--abort")
        assert {result.conflicts.keys() == conflicting for result in results.values()} == {True}
        assert {result.tree for result in results.values()} == {scratch.git("rev-parse", "HEAD^{tree}")}
