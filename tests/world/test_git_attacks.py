"""What an agent can write must not run with the swarm's rights: each way in is first shown to work on plain git."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.world import Landed, Merged
from swarm.world.door import Door, Place
from swarm.world.git import Git, GitError

from repository import make

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"


class Scene:
    """A prepared worktree, and a file `pwned` that appears if a planted program runs."""

    def __init__(self, folder: Path) -> None:
        self.scratch = make(folder / "r", {"README": "hello\n", "src/a.py": "a = 1\n"})
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.base = self.git.tip("main")
        self.git.prepare(PATH, BRANCH, self.base)
        self.worktree = self.scratch.root / PATH
        self.admin = self.scratch.common / "worktrees/kim-i-1"
        self.pwned = folder / "pwned"
        self.evil = folder / "evil"
        self.evil.write_text(f"#!/bin/sh\necho pwned >> {self.pwned}\ncat 2>/dev/null\nexit 0\n")
        self.evil.chmod(0o755)

    def plain(self, *args: str, at: Path | None = None) -> None:
        """What a careless swarm would run there; it may fail."""
        subprocess.run(["git", "-C", str(at or self.worktree), *args], stdin=subprocess.DEVNULL, capture_output=True)

    def has_worked(self) -> bool:
        """Whether the planted program ran; the trace is wiped."""
        ran = self.pwned.exists()
        self.pwned.unlink(missing_ok=True)
        return ran

    def whole_life(self) -> str:
        """Everything the swarm ever does with a worktree; returns the commit that landed."""
        secured = self.git.secure(PATH, BRANCH, self.base, f"refs/heads/{BRANCH}", "Do it", AUTHOR)
        self.git.secure(PATH, BRANCH, self.base, "refs/swarm/wip/kim/i-1", "Do it", AUTHOR)
        self.git.gate(PATH, secured.commit, keep_ignored=True)
        merged = self.git.merge(self.git.tip("main"), secured.commit, "Merge", AUTHOR, 1_800_000_000)
        assert isinstance(merged, Merged)
        self.git.gate(".swarm/worktrees/merger", merged.commit)
        assert isinstance(self.git.land("main", self.git.tip("main"), merged.commit), Landed)
        self.git.remove(PATH, secured.commit)
        assert not self.worktree.exists()
        return merged.commit


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def _own_repository(scene: Scene, *settings: str) -> None:
    """The agent replaces `.git` by a repository with a configuration of its own."""
    (scene.worktree / ".git").unlink()
    subprocess.run(["git", "init", "--quiet", str(scene.worktree)], check=True)
    for setting in settings:
        key, value = setting.split("=", 1)
        scene.scratch.git("config", key, value, at=scene.worktree)
    scene.scratch.write({"work": "x\n"}, at=scene.worktree)


def test_fsmonitor_of_a_replaced_git_folder(scene: Scene) -> None:
    _own_repository(scene, f"core.fsmonitor={scene.evil}")
    scene.plain("status")
    assert scene.has_worked()
    assert "work" in scene.scratch.files(scene.whole_life())
    assert not scene.has_worked()


def test_a_filter_of_a_replaced_git_folder(scene: Scene) -> None:
    _own_repository(scene, f"filter.x.clean={scene.evil}", f"filter.x.smudge={scene.evil}")
    scene.scratch.write({".gitattributes": "* filter=x\n"}, at=scene.worktree)
    scene.plain("-c", "core.fsmonitor=false", "add", "-A")
    assert scene.has_worked()
    scene.whole_life()
    assert not scene.has_worked()


def test_an_external_diff_of_a_replaced_git_folder(scene: Scene) -> None:
    _own_repository(scene, f"diff.external={scene.evil}", "user.name=x", "user.email=x")
    scene.plain("add", "-A")
    scene.plain("commit", "-m", "x")
    scene.scratch.write({"work": "y\n"}, at=scene.worktree)
    scene.plain("diff")
    assert scene.has_worked()
    scene.whole_life()
    assert not scene.has_worked()


def test_a_rewritten_commondir(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scene.scratch.common, copy)
    with (copy / "config").open("a") as file:
        file.write(f'[core]\n\tfsmonitor = {scene.evil}\n[filter "x"]\n\tclean = {scene.evil}\n')
    (scene.admin / "commondir").write_text(f"{copy}\n")
    scene.scratch.write({"work": "x\n", ".gitattributes": "* filter=x\n"}, at=scene.worktree)
    scene.plain(f"--git-dir={scene.admin}", f"--work-tree={scene.worktree}", "status")
    assert scene.has_worked()  # even with an explicit git directory
    Door(str(scene.scratch.root), str(scene.scratch.common)).run(
        "status", at=Place(str(scene.admin), str(scene.worktree))
    )
    assert not scene.has_worked()
    scene.whole_life()
    assert not scene.has_worked()
    assert not scene.admin.exists()


def test_removing_a_worktree_does_not_look_into_it(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scene.scratch.common, copy)
    with (copy / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {scene.evil}\n")
    (scene.admin / "commondir").write_text(f"{copy}\n")
    scene.plain("worktree", "remove", str(scene.worktree), at=scene.scratch.root)
    assert scene.has_worked()
    scene.git.remove(PATH, scene.base)
    assert not scene.has_worked()
    assert not scene.worktree.exists()


HOOKS = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "pre-merge-commit",
         "post-merge", "reference-transaction", "post-rewrite", "post-index-change", "pre-auto-gc"]  # fmt: skip


def _hooks(scene: Scene) -> None:
    """The repository says `core.hooksPath = .husky`, and the agent's branch brings the hooks."""
    scene.scratch.git("config", "core.hooksPath", ".husky")
    for name in HOOKS:
        scene.scratch.write({f".husky/{name}": f"#!/bin/sh\necho pwned {name} >> {scene.pwned}\n"}, at=scene.worktree)
        (scene.worktree / ".husky" / name).chmod(0o755)


def test_hooks_that_a_branch_brings(scene: Scene) -> None:
    _hooks(scene)
    scene.plain("commit", "--allow-empty", "-m", "x")
    assert scene.has_worked()
    landed = scene.whole_life()
    assert ".husky/post-merge" in scene.scratch.files(landed)
    assert not scene.has_worked()
    scene.git.prepare(".swarm/worktrees/kim-i-2", "swarm/kim/i-2", landed)  # and once they are on the target
    scene.git.delete_branch("swarm/kim/i-2", landed)
    assert not scene.has_worked()
    scene.plain("checkout", "-b", "x", at=scene.scratch.root)
    assert scene.has_worked()


def test_hooks_in_the_common_folder(scene: Scene) -> None:
    for name in HOOKS:
        hook = scene.scratch.common / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        shutil.copy(scene.evil, hook)
    scene.plain("commit", "--allow-empty", "-m", "x")
    assert scene.has_worked()
    scene.scratch.write({"work": "x\n"}, at=scene.worktree)
    scene.whole_life()
    assert not scene.has_worked()


@pytest.mark.parametrize("committed", [False, True])
def test_a_nested_repository_with_a_filter(scene: Scene, committed: bool) -> None:
    """Git runs `git status` in a nested repository that the index links to, with that repository's configuration."""
    nested = scene.worktree / "nested"
    scene.scratch.git("init", "--quiet", str(nested))
    scene.scratch.git("config", "user.name", "x", at=nested)
    scene.scratch.git("config", "user.email", "x", at=nested)
    scene.scratch.commit({"f": "1\n"}, at=nested)
    if committed:
        scene.plain("add", "-A")
        scene.plain("commit", "-m", "a link")
    scene.scratch.git("config", "filter.x.clean", str(scene.evil), at=nested)
    scene.scratch.git("config", "core.fsmonitor", str(scene.evil), at=nested)
    scene.scratch.write({"f": "2\n", ".gitattributes": "* filter=x\n"}, at=nested)
    if committed:
        scene.plain("add", "-A")
        assert scene.has_worked()
    landed = scene.whole_life()
    assert scene.scratch.files(landed)["nested/f"] == "2"
    assert not scene.has_worked()


def test_a_worktrees_own_configuration(scene: Scene) -> None:
    scene.scratch.git("config", "extensions.worktreeConfig", "true")
    (scene.admin / "config.worktree").write_text(f"[core]\n\tfsmonitor = {scene.evil}\n")
    scene.plain("status")
    assert scene.has_worked()
    scene.scratch.write({"work": "x\n"}, at=scene.worktree)
    secured = scene.git.secure(PATH, BRANCH, scene.base, f"refs/heads/{BRANCH}", "Do it", AUTHOR)
    assert secured.files == ["work"]  # work is never refused
    for attempt in (
        lambda: scene.git.gate(PATH, secured.commit),
        lambda: scene.git.prepare(".swarm/worktrees/n", "swarm/n/i-1", scene.base),
    ):
        with pytest.raises(Exception, match="worktreeConfig"):
            attempt()
    assert not scene.has_worked()


def test_refs_that_look_like_options(scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "written"
    for name in (f"--output={out}", "--exec=evil", "-x"):
        ref = scene.scratch.common / "refs/heads" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(f"{scene.base}\n")
        (scene.admin / "HEAD").write_text(f"ref: refs/heads/{name}\n")
        scene.scratch.write({"work": name}, at=scene.worktree)
        assert scene.git.tip(name) == scene.base
        scene.git.secure(PATH, BRANCH, scene.base, f"refs/heads/{BRANCH}", "Do it", AUTHOR)
        with pytest.raises(GitError):
            scene.git.merge(name, name, "Merge", AUTHOR, 0)
        scene.git.land(name, scene.base, scene.base)
    scene.plain("log", f"--output={out}")
    assert out.exists()
    out.unlink()
    scene.whole_life()
    assert not out.exists()


@pytest.mark.parametrize("what", ["worktree", "worktrees"])
def test_a_symbolic_link_in_place_of_a_worktree(scene: Scene, tmp_path: Path, what: str) -> None:
    victim = tmp_path / "victim"
    place = scene.worktree if what == "worktree" else scene.worktree.parent
    shutil.copytree(place, victim)
    (victim / "precious").write_text("x")
    before = sorted(path.relative_to(victim) for path in victim.rglob("*"))
    shutil.rmtree(place)
    place.symlink_to(victim)
    for attempt in (
        lambda: scene.git.remove(PATH, scene.base),
        lambda: scene.git.gate(PATH, scene.base),
        lambda: scene.git.prepare(PATH, BRANCH, scene.base),
        lambda: scene.git.secure(PATH, BRANCH, scene.base, "refs/swarm/wip/x", "m", AUTHOR),
    ):
        with pytest.raises(GitError, match="symbolic link"):
            attempt()
    assert sorted(path.relative_to(victim) for path in victim.rglob("*")) == before


def test_symbolic_links_inside_a_worktree_lead_nowhere(scene: Scene, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "a.py").write_text("precious\n")
    shutil.rmtree(scene.worktree / "src")
    (scene.worktree / "src").symlink_to(victim)
    (scene.worktree / "README").unlink()
    (scene.worktree / "README").symlink_to(victim / "a.py")
    commit = scene.git.secure(PATH, BRANCH, scene.base, "refs/swarm/wip/x", "m", AUTHOR).commit
    assert "120000" in scene.scratch.git("ls-tree", commit, "src")
    scene.git.gate(PATH, scene.base)
    assert (scene.worktree / "src/a.py").read_text() == "a = 1\n"
    scene.git.gate(PATH, commit)
    scene.git.remove(PATH, commit)
    assert (victim / "a.py").read_text() == "precious\n"
    assert sorted(victim.iterdir()) == [victim / "a.py"]


@pytest.mark.parametrize("name", ["index", "HEAD", "logs", "logs/HEAD", "gitdir", "commondir", "ORIG_HEAD", "."])
def test_symbolic_links_in_gits_notes_about_the_worktree(scene: Scene, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    target = scene.admin / name if name != "." else scene.admin
    if target.is_dir():
        victim.mkdir()
        (victim / "HEAD").write_text("precious\n")
        shutil.rmtree(target)
    else:
        victim.write_text("precious\n")
        target.unlink(missing_ok=True)
    target.symlink_to(victim)
    scene.scratch.write({"work": "x\n"}, at=scene.worktree)
    scene.whole_life()
    kept = victim / "HEAD" if victim.is_dir() else victim
    assert kept.read_text() == "precious\n"
    assert not victim.is_dir() or os.listdir(victim) == ["HEAD"]


def test_git_is_not_sent_to_work_in_a_folder_that_an_agent_names(scene: Scene, tmp_path: Path) -> None:
    """An agent says that its worktree is a person's folder, and that it has the target checked out."""
    person = make(tmp_path / "person", {"README": "a person's\n"})
    scene.scratch.git("checkout", "--quiet", "-b", "elsewhere")
    scene.scratch.write({"README": "pwned\n"}, at=scene.worktree)
    (scene.admin / "gitdir").write_text(f"{person.root}/.git\n")
    (scene.admin / "HEAD").write_text("ref: refs/heads/main\n")
    scene.whole_life()
    assert person.files("HEAD") == {"README": "a person's"}
    assert (person.root / "README").read_text() == "a person's\n"
    assert person.git("status", "--porcelain") == ""


def test_replacement_objects_do_not_show_other_files_under_the_same_id(scene: Scene) -> None:
    commit = scene.scratch.commit({"src/a.py": "bad\n"}, at=scene.worktree)
    good = scene.scratch.commit({"src/a.py": "good\n"}, at=scene.worktree)
    scene.scratch.git("replace", commit, good)
    plain: Callable[[], str] = lambda: scene.scratch.git("show", f"{commit}:src/a.py")  # noqa: E731
    assert plain() == "good"
    place = Path(scene.git.gate(".swarm/worktrees/merger", commit))
    assert (place / "src/a.py").read_text() == "bad\n"


def test_programs_in_the_worktree_with_a_dot_in_path(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git, env (which takes stray variables away) and a filter of the person's are looked for elsewhere."""
    scene.scratch.git("config", "filter.x.clean", "cat")
    scene.scratch.write({".gitattributes": "*.x filter=x\n", "a.x": "x\n"}, at=scene.worktree)
    for name in ("git", "env", "cat"):
        (scene.worktree / name).write_text(f"#!/bin/sh\necho pwned >> {scene.pwned}\n")
        (scene.worktree / name).chmod(0o755)
    monkeypatch.setenv("GIT_NAMESPACE", "stray")
    monkeypatch.setenv("PATH", f".::bin:{os.environ['PATH']}")
    monkeypatch.chdir(scene.worktree)
    subprocess.run(["git", "version"], stdin=subprocess.DEVNULL, check=True)
    assert scene.has_worked()
    script = (
        "import sys; from swarm.world.git import Git\n"
        "print(Git(*sys.argv[1:3]).secure(*sys.argv[3:], 'Do it', 'kim <kim@swarm.invalid>').commit)\n"
    )
    where = [str(scene.scratch.root), str(scene.scratch.common)]
    command = [sys.executable, "-P", "-c", script, *where, PATH, BRANCH, scene.base, f"refs/heads/{BRANCH}"]
    done = subprocess.run(command, capture_output=True, text=True)  # anew: gitpython runs git when it is imported
    assert not scene.has_worked()
    monkeypatch.undo()
    assert scene.scratch.files(done.stdout.strip())["a.x"] == "x", done.stderr
