"""Whatever an agent left, and however it tried to lose or hide it, is in the commit."""

import os
import shutil
import time
from pathlib import Path

import msgspec
import pytest

from swarm.world import Secured
from swarm.world.git import Git, GitError

from repository import Scratch, make
from waiting import until

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH = "swarm/kim/i-1"
HEADS = f"refs/heads/{BRANCH}"
WIP = "refs/swarm/wip/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"


class Attempt:
    """A prepared worktree, and the securing of it."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.git = Git(str(scratch.root), str(scratch.common))
        self.base = self.git.tip("main")
        self.git.prepare(PATH, BRANCH, self.base)
        self.worktree = scratch.root / PATH

    def secure(self, ref: str = HEADS) -> Secured:
        return self.git.secure(PATH, BRANCH, self.base, ref, "Do it", AUTHOR)

    def agent(self, *args: str) -> str:
        return self.scratch.git(*args, at=self.worktree)


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(make(tmp_path / "r", {"README": "hello\n", "src/a.py": "a = 1\n", ".gitignore": "cache/\n"}))


def test_uncommitted_work_becomes_a_commit_on_the_branch(attempt: Attempt) -> None:
    attempt.scratch.write({"new.py": "new\n", "src/a.py": "a = 2\n", "cache/x": "ignored"}, at=attempt.worktree)
    (attempt.worktree / "README").unlink()
    secured = attempt.secure()
    assert secured.commits == 1
    assert sorted(secured.files) == ["README", "new.py", "src/a.py"]
    assert attempt.git.tip(BRANCH) == secured.commit
    assert attempt.scratch.files(secured.commit) == {".gitignore": "cache/", "new.py": "new", "src/a.py": "a = 2"}
    shown = attempt.scratch.git("log", "-1", "--format=%s|%an <%ae>|%cn <%ce>|%P", secured.commit)
    assert shown == f"Do it|{AUTHOR}|Pat Person <pat@example.org>|{attempt.base}"
    assert attempt.secure() == secured


def test_without_a_persons_identity_the_agent_is_the_committer(attempt: Attempt) -> None:
    attempt.scratch.git("config", "--unset", "user.name")
    attempt.scratch.write({"new.py": "new\n"}, at=attempt.worktree)
    secured = attempt.secure()
    assert attempt.scratch.git("log", "-1", "--format=%cn <%ce>", secured.commit) == AUTHOR


def test_an_agent_that_did_nothing_left_no_commit(attempt: Attempt) -> None:
    assert attempt.secure() == Secured(ref=HEADS, commit=attempt.base, commits=0, files=[])


def test_committed_and_uncommitted_work_are_both_there(attempt: Attempt) -> None:
    first = attempt.scratch.commit({"one": "1"}, at=attempt.worktree)
    assert attempt.secure().commit == first
    attempt.scratch.write({"two": "2"}, at=attempt.worktree)
    secured = attempt.secure()
    assert (secured.commits, secured.files) == (2, ["one", "two"])


def test_work_in_progress_goes_to_its_ref_and_the_branch_stays(attempt: Attempt) -> None:
    attempt.scratch.write({"half": "done"}, at=attempt.worktree)
    secured = attempt.secure(WIP)
    assert attempt.scratch.git("rev-parse", WIP) == secured.commit
    assert attempt.git.tip(BRANCH) == attempt.base
    assert attempt.secure(WIP) == secured
    tree, long_ago = f"{secured.commit}^{{tree}}", ["-c", "user.name=Pat", "-c", "user.email=pat@example.org"]
    earlier = attempt.scratch.git(*long_ago, "commit-tree", tree, "-p", attempt.base, "-m", "secured an hour ago")
    attempt.scratch.git("update-ref", WIP, earlier)
    assert attempt.secure(WIP).commit == earlier  # the same again is the same commit, whatever the time
    attempt.scratch.write({"half": "more"}, at=attempt.worktree)
    assert attempt.secure(WIP).commit != secured.commit


def test_what_is_staged_but_not_committed_is_there(attempt: Attempt) -> None:
    attempt.scratch.write({"staged": "x"}, at=attempt.worktree)
    attempt.agent("add", "staged")
    assert attempt.secure().files == ["staged"]


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_an_index_cannot_hide_work(attempt: Attempt, bit: str) -> None:
    attempt.agent("update-index", bit, "src/a.py")
    attempt.scratch.write({"src/a.py": "hidden\n"}, at=attempt.worktree)
    attempt.agent("add", "-A")
    assert attempt.agent("diff", "--cached", "--name-only") == ""  # git itself does not see it
    assert attempt.secure().files == ["src/a.py"]


def test_a_broken_index_and_stale_locks_do_not_matter(attempt: Attempt) -> None:
    admin = attempt.scratch.common / "worktrees/kim-i-1"
    (admin / "index").write_text("garbage")
    (admin / "index.lock").touch()
    (admin / "HEAD.lock").touch()
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    assert attempt.secure(WIP).files == ["new"]


def test_an_unfinished_merge_with_conflict_markers_is_kept_as_it_is(attempt: Attempt) -> None:
    attempt.agent("branch", "other")
    attempt.scratch.commit({"src/a.py": "mine\n"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", "other")
    attempt.scratch.commit({"src/a.py": "theirs\n"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", BRANCH)
    with pytest.raises(AssertionError, match="CONFLICT"):
        attempt.agent("merge", "other")
    secured = attempt.secure(WIP)
    assert "<<<<<<<" in attempt.scratch.files(secured.commit)["src/a.py"]


def test_an_unfinished_rebase_is_kept(attempt: Attempt) -> None:
    attempt.scratch.commit({"src/a.py": "upstream\n"})
    attempt.scratch.commit({"src/a.py": "mine\n"}, at=attempt.worktree)
    with pytest.raises(AssertionError):
        attempt.agent("rebase", "main")
    secured = attempt.secure(WIP)
    # HEAD is on main's commit meanwhile, and the commit being replayed is still the branch's: both are in.
    assert attempt.git.is_ancestor(attempt.git.tip(BRANCH), secured.commit)
    assert "<<<<<<<" in attempt.scratch.files(secured.commit)["src/a.py"]


def test_work_on_a_detached_head_or_another_branch_is_found(attempt: Attempt) -> None:
    attempt.scratch.commit({"one": "1"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", "-b", "idea")
    attempt.scratch.commit({"two": "2"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", "--detach")
    attempt.scratch.commit({"three": "3"}, at=attempt.worktree)
    attempt.scratch.write({"four": "4"}, at=attempt.worktree)
    secured = attempt.secure()
    assert secured.files == ["four", "one", "three", "two"]
    assert secured.commits == 4
    assert attempt.git.tip(BRANCH) == secured.commit


def test_commits_on_the_branch_count_though_the_agent_went_back_to_the_base(attempt: Attempt) -> None:
    tip = attempt.scratch.commit({"one": "1"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", "--detach", attempt.base)
    assert attempt.secure().commit == tip
    attempt.scratch.write({"two": "2"}, at=attempt.worktree)
    secured = attempt.secure()
    assert secured.files == ["one", "two"]
    assert attempt.git.is_ancestor(tip, secured.commit)
    before = int(time.time())
    until(lambda: int(time.time()) > before)  # commits have whole seconds
    assert attempt.secure() == secured


def test_two_lines_that_do_not_merge_are_both_kept(attempt: Attempt) -> None:
    tip = attempt.scratch.commit({"src/a.py": "on the branch\n"}, at=attempt.worktree)
    attempt.agent("checkout", "--quiet", "--detach", attempt.base)
    attempt.scratch.write({"src/a.py": "in the worktree\n"}, at=attempt.worktree)
    secured = attempt.secure()
    assert attempt.scratch.files(secured.commit)["src/a.py"] == "in the worktree"
    assert attempt.git.is_ancestor(tip, secured.commit)


def test_a_history_without_the_base_is_put_on_the_base(attempt: Attempt) -> None:
    attempt.agent("checkout", "--quiet", "--orphan", "fresh")
    attempt.scratch.commit({"new": "x"}, at=attempt.worktree)
    attempt.agent("branch", "--force", BRANCH, "fresh")
    secured = attempt.secure()
    assert secured.commits == 1
    assert secured.files == ["new"]


def test_a_worktree_that_vanished_leaves_what_its_branch_has(attempt: Attempt) -> None:
    tip = attempt.scratch.commit({"one": "1"}, at=attempt.worktree)
    shutil.rmtree(attempt.worktree)
    assert attempt.secure(WIP).commit == tip
    shutil.rmtree(attempt.scratch.common / "worktrees")
    assert attempt.secure(WIP).commit == tip


def test_a_git_file_that_is_gone_or_garbage_does_not_matter(attempt: Attempt) -> None:
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    (attempt.worktree / ".git").unlink()
    assert attempt.secure(WIP).files == ["new"]
    (attempt.worktree / ".git").write_text("gitdir: /nowhere\n")
    assert attempt.secure(WIP).files == ["new"]
    (attempt.scratch.common / "worktrees/kim-i-1/HEAD").write_text("garbage\n")
    assert attempt.secure(WIP).files == ["new"]


@pytest.mark.parametrize("committed", [False, True])
def test_the_files_of_a_nested_repository_are_files(attempt: Attempt, committed: bool) -> None:
    for name in ("lib/nested", "empty", "lib/nested/deeper"):
        attempt.scratch.git("init", "--quiet", str(attempt.worktree / name), at=attempt.scratch.root)
    attempt.scratch.write({"lib/nested/x": "x", "lib/nested/deeper/y": "y", "lib/z": "z"}, at=attempt.worktree)
    if committed:
        for name in ("lib/nested/deeper", "lib/nested"):
            inner = attempt.worktree / name
            attempt.scratch.git("config", "user.name", "kim", at=inner)
            attempt.scratch.git("config", "user.email", "kim@swarm.invalid", at=inner)
            attempt.scratch.commit({}, at=inner)
        (attempt.worktree / "empty/.git").rename(attempt.worktree / "empty/not-git")
        shutil.rmtree(attempt.worktree / "empty")
        attempt.scratch.commit({}, at=attempt.worktree)  # git made a link to nowhere of it
        assert "160000" in attempt.agent("ls-tree", "-r", "HEAD")
    secured = attempt.secure()
    assert "160000" not in attempt.scratch.git("ls-tree", "-r", secured.commit)
    assert secured.files == ["lib/nested/deeper/y", "lib/nested/x", "lib/z"]
    assert attempt.secure() == secured


def test_at_most_two_hundred_names_go_into_the_event_and_odd_ones_can_be_written(attempt: Attempt) -> None:
    attempt.scratch.write({f"many/{n:03}": "x" for n in range(250)}, at=attempt.worktree)
    (attempt.worktree / os.fsdecode(b"caf\xe9\n")).write_text("x")
    files = attempt.secure().files
    assert len(files) == 201
    assert files[-1] == "… and 51 more"
    assert files[0] == "caf\ufffd\n"


def test_names_take_a_bounded_room_in_the_event(attempt: Attempt) -> None:
    folder = "\x01" * 200  # six bytes each, as JSON
    attempt.scratch.write({f"{folder}/{n:03}": "x" for n in range(100)}, at=attempt.worktree)
    files = attempt.secure().files
    assert 5 < len(files) < 20
    assert files[0] == f"{folder}/000"
    assert files[-1] == f"… and {100 - (len(files) - 1)} more"
    assert len(msgspec.json.encode(files)) < 17_000


def test_an_odd_name_in_gits_words_can_be_put_into_an_event(attempt: Attempt) -> None:
    attempt.scratch.git("config", "filter.strict.clean", "false")
    attempt.scratch.git("config", "filter.strict.required", "true")
    (attempt.worktree / ".gitattributes").write_text("caf* filter=strict\n")
    (attempt.worktree / os.fsdecode(b"caf\xe9")).write_text("x")
    with pytest.raises(GitError, match="caf\ufffd: clean filter 'strict' failed") as raised:
        attempt.secure()
    assert str(raised.value).encode()
    assert raised.value.hint == "swarm doctor"  # no mode of a file is to blame


def test_line_ending_settings_do_not_keep_work_out(attempt: Attempt) -> None:
    attempt.scratch.git("config", "core.autocrlf", "input")
    attempt.scratch.git("config", "core.safecrlf", "true")
    (attempt.worktree / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    assert attempt.secure().files == ["dos.txt"]


@pytest.mark.parametrize("ref", ["refs/heads/main", "HEAD", "refs/heads/swarm/lee/i-2", "main", "--stdin"])
def test_work_goes_nowhere_but_its_branch_or_the_swarms_own_refs(attempt: Attempt, ref: str) -> None:
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    with pytest.raises(GitError, match="secured on its branch"):
        attempt.secure(ref)
    assert attempt.git.tip("main") == attempt.base


def test_an_author_must_have_a_name_and_an_address(attempt: Attempt) -> None:
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    with pytest.raises(GitError, match="not an author"):
        attempt.git.secure(PATH, BRANCH, attempt.base, WIP, "m", "kim")


# --- odd things that an agent may leave -----------------------------------------------------------


def test_a_huge_file_does_not_get_to_the_branch_and_is_not_lost(attempt: Attempt) -> None:
    with (attempt.worktree / "data.bin").open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(GitError, match=r"above 100 MB: data\.bin \(210 MB\)"):
        attempt.secure()
    assert attempt.git.tip(BRANCH) == attempt.base
    secured = attempt.secure(WIP)
    assert secured.files == ["data.bin"]
    assert secured.notes == ["no commit may bring a file above 100 MB: data.bin (210 MB)"]
    assert attempt.scratch.git("cat-file", "-s", f"{secured.commit}:data.bin") == str(200 * 2**20)
    attempt.agent("add", "-A")
    attempt.agent("commit", "--quiet", "-m", "it is in the history")
    (attempt.worktree / "data.bin").unlink()
    with pytest.raises(GitError, match=r"data\.bin"):
        attempt.secure()
    attempt.agent("reset", "--quiet", "--hard", attempt.base)
    attempt.scratch.write({"small": "s"}, at=attempt.worktree)
    assert attempt.secure().notes == []


def test_large_ignored_files_are_named(attempt: Attempt) -> None:
    outside = attempt.scratch.root.parent / "outside"
    for number in range(25):
        path = attempt.worktree / "cache" / f"deep{number % 2}" / f"f{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(10_000_000 + number * 1_000_000)
    outside.mkdir()
    with (outside / "elsewhere").open("wb") as file:
        file.truncate(50_000_000)
    (attempt.worktree / "cache/link").symlink_to(outside)
    attempt.scratch.write({"cache/small": "s", "new": "n"}, at=attempt.worktree)
    secured = attempt.secure()
    assert secured.files == ["new"]
    assert secured.left[:2] == ["cache/deep0/f24 (34 MB)", "cache/deep1/f23 (33 MB)"]
    assert secured.left[19:] == ["cache/deep1/f05 (15 MB)", "… and 5 more"]


def test_pointers_of_lfs_stay_pointers(attempt: Attempt) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 123456789\n"
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    attempt.scratch.write({".gitattributes": attributes, "big.bin": pointer}, at=attempt.worktree)
    secured = attempt.secure()
    assert attempt.scratch.git("show", f"{secured.commit}:big.bin") == pointer.strip()
    assert secured.notes == []


def test_links_out_of_the_tree_stay_links(attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("k")
    (attempt.worktree / "folder").symlink_to(tmp_path / "secret")
    (attempt.worktree / "file").symlink_to("../../../../secret/key")
    (attempt.worktree / "loop").symlink_to("loop")
    shutil.rmtree(attempt.worktree / "src")
    (attempt.worktree / "src").symlink_to(tmp_path / "secret")
    secured = attempt.secure()
    listed = attempt.scratch.git("ls-tree", "-r", secured.commit).splitlines()
    links = {line.split("\t")[1] for line in listed if line.startswith("120000")}
    assert links == {"folder", "file", "loop", "src"}
    assert attempt.scratch.git("show", f"{secured.commit}:folder") == str(tmp_path / "secret")
    attempt.git.remove(PATH, secured.commit)
    assert (tmp_path / "secret/key").read_text() == "k"


def test_a_git_folder_of_the_agents_own_changes_nothing(attempt: Attempt, tmp_path: Path) -> None:
    other = make(tmp_path / "other", {"theirs": "t"})
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    (attempt.worktree / ".git").write_text(f"gitdir: {other.common}\n")
    assert attempt.secure(WIP).files == ["new"]
    (attempt.worktree / ".git").unlink()
    attempt.agent("init", "--quiet")
    attempt.agent("config", "user.name", "kim")
    attempt.agent("config", "user.email", "kim@swarm.invalid")
    attempt.scratch.commit({"more": "y"}, at=attempt.worktree)
    secured = attempt.secure()
    assert secured.files == ["more", "new"]
    assert attempt.git.is_ancestor(attempt.base, secured.commit)
    assert other.git("log", "--format=%s") == "start"


def test_what_a_submodule_or_an_inner_repository_loses_is_said(attempt: Attempt, tmp_path: Path) -> None:
    upstream = make(tmp_path / "upstream", {"lib": "1"})
    allowed = ["-c", "protocol.file.allow=always"]
    attempt.agent(*allowed, "submodule", "--quiet", "add", str(upstream.root), "sub")
    attempt.scratch.git("init", "--quiet", str(attempt.worktree / "vendor"))
    attempt.scratch.write({"vendor/deep/x": "x"}, at=attempt.worktree)
    for _ in range(2):
        assert attempt.secure().notes == [
            "of the repository vendor only the files are kept, not its history",
            "sub is a submodule: only which commit it is at is kept, no commit or change of its own",
        ]
