"""Worktrees come, are put at a commit, and go; a crash in between, or an agent's mess, is mended."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarm.world.door import Door
from swarm.world.git import Git, GitError

from repository import Scratch, make
from waiting import until

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": "a = 1\n", ".gitignore": "cache/\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def _is_ready(scratch: Scratch, base: str, path: str = PATH, branch: str = BRANCH) -> None:
    worktree = scratch.root / path
    assert scratch.git("status", "--porcelain", at=worktree) == ""
    assert scratch.git("symbolic-ref", "HEAD", at=worktree) == f"refs/heads/{branch}"
    assert scratch.git("rev-parse", "HEAD", at=worktree) == base
    assert (worktree / "src/a.py").read_text() == "a = 1\n"


# --- prepare --------------------------------------------------------------------------------------


def test_a_prepared_worktree_is_on_its_branch_at_its_base(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    _is_ready(scratch, base)
    assert "[branch" not in (scratch.common / "config").read_text()  # no upstream: no config.lock between worktrees


def test_preparing_again_changes_nothing_not_even_an_agents_work(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    worktree = scratch.root / PATH
    mine = scratch.commit({"b.py": "b"}, at=worktree)
    scratch.write({"c.py": "c"}, at=worktree)
    git.prepare(PATH, BRANCH, base)
    assert scratch.git("rev-parse", "HEAD", at=worktree) == mine
    assert (worktree / "c.py").read_text() == "c"


def _registered_but_no_folder(scratch: Scratch) -> None:
    shutil.rmtree(scratch.root / PATH)


def _folder_but_not_registered(scratch: Scratch) -> None:
    shutil.rmtree(scratch.common / "worktrees")


def _branch_only(scratch: Scratch) -> None:
    _registered_but_no_folder(scratch)
    _folder_but_not_registered(scratch)


def _killed_while_checking_out(scratch: Scratch) -> None:
    admin = scratch.common / "worktrees/kim-i-1"
    (admin / "index").rename(admin / "index.lock")
    (scratch.root / PATH / "README").unlink()


def _killed_while_git_registered(scratch: Scratch) -> None:
    admin = scratch.common / "worktrees/kim-i-1"
    for name in ("commondir", "gitdir", "index", "HEAD"):
        (admin / name).unlink()
    (scratch.root / PATH / ".git").unlink()


def _killed_before_the_link_moved(scratch: Scratch) -> None:
    admin, worktree = scratch.common / "worktrees/kim-i-1", scratch.root / PATH
    stage = worktree.parent / ".stage/kim-i-1"
    stage.mkdir(parents=True)
    (worktree / ".git").rename(stage / ".git")
    (admin / "gitdir").write_text(f"{stage}/.git\n")
    (admin / "index").unlink()


def _a_file_in_its_place(scratch: Scratch) -> None:
    _branch_only(scratch)
    (scratch.root / PATH).write_text("?")


@pytest.mark.parametrize(
    "crash",
    [
        _registered_but_no_folder,
        _folder_but_not_registered,
        _branch_only,
        _killed_while_checking_out,
        _killed_while_git_registered,
        _killed_before_the_link_moved,
        _a_file_in_its_place,
    ],
)
def test_a_half_made_worktree_is_made_whole(scratch: Scratch, git: Git, crash: object) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    assert callable(crash)
    crash(scratch)
    git.prepare(PATH, BRANCH, base)
    _is_ready(scratch, base)


def test_killed_at_any_moment_it_is_made_whole_the_next_time(scratch: Scratch, git: Git) -> None:
    scratch.commit({f"many/{n}": f"{n}\n" for n in range(300)})
    base = git.tip("main")
    script = (
        "import sys; from swarm.world.git import Git\n"
        "git = Git(sys.argv[1], sys.argv[2]); print('go', flush=True); git.prepare(*sys.argv[3:])\n"
    )
    for number in range(1, 9):
        path, branch = f".swarm/worktrees/kim-i-{number}", f"swarm/kim/i-{number}"
        command = [sys.executable, "-P", "-c", script, str(scratch.root), str(scratch.common), path, branch, base]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        admin = scratch.common / "worktrees" / f"kim-i-{number}"
        moments = [
            scratch.common / "refs/heads" / branch,
            admin,
            admin / "HEAD",
            admin / "gitdir",
            scratch.root / path,
            scratch.root / path / ".git",
            admin / "index.lock",
            scratch.root / path / "many" / "100",
        ]
        moment = moments[number - 1]
        until(lambda m=moment, p=process: m.exists() or p.poll() is not None)
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()
        git.prepare(path, branch, base)
        _is_ready(scratch, base, path, branch)


def test_a_branch_with_nothing_of_its_own_moves_to_the_fresh_base(scratch: Scratch, git: Git) -> None:
    git.prepare(PATH, BRANCH, git.tip("main"))
    base = scratch.commit({"new": "new"})
    git.prepare(PATH, BRANCH, base)
    _is_ready(scratch, base)
    assert (scratch.root / PATH / "new").exists()
    shutil.rmtree(scratch.root / PATH)
    later = scratch.commit({"newer": "newer"})
    git.prepare(PATH, BRANCH, later)
    _is_ready(scratch, later)


def test_commits_on_the_branch_survive_a_worktree_that_vanished(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    mine = scratch.commit({"b.py": "b"}, at=scratch.root / PATH)
    shutil.rmtree(scratch.root / PATH)
    git.prepare(PATH, BRANCH, base)
    _is_ready(scratch, mine)


def test_a_branch_of_that_name_with_other_commits_is_refused(scratch: Scratch, git: Git) -> None:
    base = scratch.commit({"x": "x"})
    scratch.git("checkout", "--quiet", "-b", BRANCH, "HEAD~1")
    theirs = scratch.commit({"y": "y"})
    scratch.git("checkout", "--quiet", "main")
    with pytest.raises(GitError, match="commits that"):
        git.prepare(PATH, BRANCH, base)
    assert git.tip(BRANCH) == theirs


def test_a_worktree_where_somebody_checked_out_something_else_is_refused(scratch: Scratch, git: Git) -> None:
    git.prepare(PATH, BRANCH, git.tip("main"))
    scratch.git("checkout", "--quiet", "-b", "other", at=scratch.root / PATH)
    with pytest.raises(GitError, match="refs/heads/other"):
        git.prepare(PATH, BRANCH, git.tip("main"))


def test_an_odd_name_of_a_branch_can_be_put_into_an_event(scratch: Scratch, git: Git) -> None:
    git.prepare(PATH, BRANCH, git.tip("main"))
    scratch.git("checkout", "--quiet", "-b", os.fsdecode(b"caf\xe9"), at=scratch.root / PATH)
    with pytest.raises(GitError, match="refs/heads/caf\ufffd") as raised:
        git.prepare(PATH, BRANCH, git.tip("main"))
    assert str(raised.value).encode()


def test_a_persons_worktree_of_the_same_name_is_left_alone(scratch: Scratch, git: Git, tmp_path: Path) -> None:
    scratch.git("worktree", "add", "--quiet", "-b", "theirs", str(tmp_path / "kim-i-1"))
    for attempt in (
        lambda: git.prepare(PATH, BRANCH, git.tip("main")),
        lambda: git.gate(PATH, git.tip("main")),
        lambda: git.remove(PATH, git.tip("main")),
    ):
        with pytest.raises(GitError, match="a worktree with the name kim-i-1 is at"):
            attempt()
    assert scratch.git("status", "--porcelain", at=tmp_path / "kim-i-1") == ""


@pytest.mark.parametrize(
    "branch", ["main", "--output=x", "swarm/kim", "swarm/Kim/i-1", "swarm/../i-1", "swarm/k/i-0", ""]
)
def test_only_branches_of_the_swarm_are_made(git: Git, branch: str) -> None:
    with pytest.raises(GitError, match="not a branch of the swarm"):
        git.prepare(PATH, branch, git.tip("main"))
    with pytest.raises(GitError, match="not a branch of the swarm"):
        git.delete_branch(branch, git.tip("main"))


def test_a_branch_named_swarm_is_named_as_the_obstacle(scratch: Scratch, git: Git) -> None:
    scratch.git("branch", "swarm")
    with pytest.raises(GitError, match="refs/heads/swarm") as raised:
        git.prepare(PATH, BRANCH, git.tip("main"))
    assert raised.value.hint == "swarm doctor"


def test_worktrees_are_made_one_at_a_time(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    with ThreadPoolExecutor(1) as pool:
        with Door(str(scratch.root), str(scratch.common)).lock():
            made = pool.submit(git.prepare, PATH, BRANCH, base)
            with pytest.raises(TimeoutError):
                made.result(timeout=0.3)
            assert not (scratch.root / PATH).exists()
        made.result(timeout=20)
    _is_ready(scratch, base)


def test_sixteen_worktrees_at_once_from_threads_all_succeed(scratch: Scratch, git: Git) -> None:
    """Pain 22: worktrees race for git's locks."""
    base = git.tip("main")
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(git.prepare, f".swarm/worktrees/w-{n}", f"swarm/a{n}/i-1", base) for n in range(16)]
        for future in done:
            future.result()
    for n in range(16):
        _is_ready(scratch, base, f".swarm/worktrees/w-{n}", f"swarm/a{n}/i-1")


def test_worktrees_at_once_from_processes_all_succeed(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    script = (
        "import sys; from swarm.world.git import Git\n"
        "root, common, base, first = sys.argv[1:]\n"
        "for n in range(int(first), int(first) + 4):\n"
        "    Git(root, common).prepare(f'.swarm/worktrees/w-{n}', f'swarm/a{n}/i-1', base)\n"
    )
    command = [sys.executable, "-P", "-c", script, str(scratch.root), str(scratch.common), base]
    running = [subprocess.Popen([*command, str(first)]) for first in (0, 4, 8, 12)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    for n in range(16):
        _is_ready(scratch, base, f".swarm/worktrees/w-{n}", f"swarm/a{n}/i-1")


# --- remove ---------------------------------------------------------------------------------------


def test_a_worktree_goes_only_when_its_work_is_in_a_commit(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    scratch.write({"precious": "x"}, at=scratch.root / PATH)
    for missing in ("", "0" * 40, base[:-1] + ("0" if base[-1] != "0" else "1"), "main", git.tip("main")[:12]):
        with pytest.raises(GitError, match="stays"):
            git.remove(PATH, missing)
    assert (scratch.root / PATH / "precious").read_text() == "x"
    secured = git.secure(PATH, BRANCH, base, "refs/swarm/wip/kim/i-1", "wip", AUTHOR)
    git.remove(PATH, secured.commit)
    git.remove(PATH, secured.commit)
    assert not (scratch.root / PATH).exists()
    assert not (scratch.common / "worktrees/kim-i-1").exists()
    assert scratch.git("worktree", "list").count("\n") == 0
    assert scratch.files(secured.commit)["precious"] == "x"
    git.delete_branch(BRANCH, base)
    git.delete_branch(BRANCH, base)
    assert not git.branch_exists(BRANCH)


def test_a_branch_that_moved_is_not_deleted(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    tip = scratch.commit({"b": "b"}, at=scratch.root / PATH)
    assert git.delete_branch(BRANCH, base) is False
    assert git.tip(BRANCH) == tip
    assert git.delete_branch(BRANCH, scratch.commit({"c": "c"}, at=scratch.root / PATH)) is True


@pytest.mark.parametrize("path", [".", "src", ".swarm", ".swarm/worktrees", ".swarm/worktrees/..", "/etc", "../x",
                                  ".swarm/worktrees/a/b", ".swarm/worktrees/../../src"])  # fmt: skip
def test_only_worktrees_of_the_swarm_can_be_touched(scratch: Scratch, git: Git, path: str) -> None:
    base = git.tip("main")
    for attempt in (
        lambda: git.remove(path, base),
        lambda: git.gate(path, base),
        lambda: git.prepare(path, BRANCH, base),
        lambda: git.secure(path, BRANCH, base, f"refs/heads/{BRANCH}", "m", AUTHOR),
    ):
        with pytest.raises(GitError, match="not a worktree of the swarm"):
            attempt()
    assert (scratch.root / "src/a.py").exists()


def test_folders_that_an_agent_locked_are_removed_too(tmp_path: Path) -> None:
    """As a person, not as root, whom no mode stops."""
    script = (
        "import os, sys, git.cmd; from pathlib import Path\n"
        "from repository import make; from swarm.world.git import Git, GitError\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "scratch = make(Path(sys.argv[1]) / 'r'); git = Git(str(scratch.root), str(scratch.common))\n"
        f"base = git.tip('main'); git.prepare({PATH!r}, {BRANCH!r}, base)\n"
        f"worktree = scratch.root / {PATH!r}\n"
        "scratch.write({'shut/deep/x': 'x', 'open/y': 'y'}, at=worktree)\n"
        "(worktree / 'shut/deep').chmod(0); (worktree / 'shut').chmod(0); (worktree / 'open').chmod(0o500)\n"
        f"try: git.secure({PATH!r}, {BRANCH!r}, base, 'refs/swarm/wip/x', 'm', {AUTHOR!r})\n"
        "except GitError as error: print(error, '|', error.hint)\n"
        f"git.remove({PATH!r}, base); print(worktree.exists(), (scratch.common / 'worktrees/kim-i-1').exists())\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        here = str(Path(__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {here!r})\n{script}", folder],
            env={**os.environ, "HOME": folder},
            capture_output=True,
            text=True,
        )
        said = done.stdout.splitlines()
        assert said[-1:] == ["False False"], done.stderr
        assert "could not open directory 'shut/'" in said[0]
        assert "| chmod -R u+rwX" in said[0]
