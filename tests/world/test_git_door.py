"""There is one door to git, nothing from outside goes through it, and it answers with words."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.eventlog.errors import UsageError
from swarm.world.door import Door, erase, named
from swarm.world.git import Git, GitError

from repository import make

HOUSE = Path(__file__).resolve().parents[2]
ROOMS = ("actors", "commands", "eventlog", "mailbox", "projections", "runtimes", "world")


def _other_ways_to_git(source: str) -> list[str]:
    """Imports of a git library, and argument lists or command lines that begin with git."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        found += [name for name in names if name.split(".")[0] in ("git", "dulwich", "pygit2")]
        words = node.elts if isinstance(node, ast.List | ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        constants = [w.value for w in words if isinstance(w, ast.Constant) and isinstance(w.value, str)]
        if isinstance(node, ast.List | ast.Tuple) and "git" in constants:
            found.append(ast.unparse(node))
        runs = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in ("os", "subprocess", "pty")
        if runs and any(c == "git" or c.startswith("git ") for c in constants):
            found.append(ast.unparse(node))
    return found


def test_nothing_but_the_door_runs_git() -> None:
    pages = [HOUSE / "cli.py", *(page for room in ROOMS for page in (HOUSE / room).rglob("*.py"))]
    assert len(pages) > 20
    ways = {str(page.relative_to(HOUSE)): _other_ways_to_git(page.read_text()) for page in pages}
    assert {page for page, found in ways.items() if found} == {"world/door.py"}
    assert len([way for way in ways["world/door.py"] if way == "git.cmd"]) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import git",
        "from git import Repo",
        "import subprocess\nsubprocess.run(['git', 'status'])",
        "import os\nos.system('git status')",
        "argv = ['env', 'git', 'status']",
        "import os\nos.execvp('git', argv)",
    ],
)
def test_another_way_to_git_would_be_found(source: str) -> None:
    assert _other_ways_to_git(source)


def test_inherited_git_variables_do_not_reach_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch, other = make(tmp_path / "r"), make(tmp_path / "other", {"x": "x"})
    trace = tmp_path / "trace"
    git = Git(str(scratch.root), str(scratch.common))
    main = git.tip("main")  # gitpython asks for git's version once, when it is imported
    monkeypatch.setenv("GIT_DIR", str(other.common))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "foreign-index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.common / "objects"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name'='Someone Else'")
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    monkeypatch.setenv("GIT_TRACE", str(trace))
    assert git.identity() == ("Pat Person", "pat@example.org")
    assert git.tip("main") == main
    git.gate(".swarm/worktrees/m", main)
    assert not trace.exists()
    assert not (tmp_path / "foreign-index").exists()


def test_configuration_of_the_person_does_reach_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = make(tmp_path / "r")
    scratch.git("config", "--unset", "user.email")
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\n\temail = global@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert Git(str(scratch.root), str(scratch.common)).identity() == ("Pat Person", "global@example.org")


def test_the_default_branch_is_the_one_checked_out(tmp_path: Path) -> None:
    scratch = make(tmp_path / "r")
    git = Git(str(scratch.root), str(scratch.common))
    assert git.default_branch() == "main"
    assert git.tip("main") == scratch.git("rev-parse", "HEAD")
    assert git.branch_exists("main")
    assert not git.branch_exists("nothing")
    scratch.git("checkout", "--quiet", "--detach")
    with pytest.raises(UsageError, match="detached") as raised:
        git.default_branch()
    assert raised.value.hint == "swarm start --target BRANCH"
    with pytest.raises(GitError, match="no branch nothing"):
        git.tip("nothing")


def test_a_repository_without_a_commit_is_told_what_to_do(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "r")], check=True)
    git = Git(str(tmp_path / "r"), str(tmp_path / "r/.git"))
    with pytest.raises(UsageError) as raised:
        git.default_branch()
    assert raised.value.hint == "git commit --allow-empty -m start"
    assert ("the repository has no commit yet", "git commit --allow-empty -m start") in git.problems()


def test_problems_name_what_is_in_the_way_and_the_command(tmp_path: Path) -> None:
    scratch = make(tmp_path / "r")
    git = Git(str(scratch.root), str(scratch.common))
    assert git.problems() == []
    assert git.version() >= (2, 38)
    scratch.git("branch", "swarm")
    scratch.git("config", "extensions.worktreeConfig", "true")
    found = dict(git.problems())
    assert [command for words, command in found.items() if "branch named swarm" in words] == [
        "git branch -m swarm swarm-old"
    ]
    assert "git config --unset extensions.worktreeConfig" in found.values()
    with pytest.raises(UsageError, match="worktreeConfig"):
        git.prepare(".swarm/worktrees/a", "swarm/kim/i-1", git.tip("main"))
    bare = tmp_path / "bare"
    scratch.git("clone", "--quiet", "--bare", str(scratch.root), str(bare))
    assert any("bare" in words for words, _ in Git(str(bare), str(bare)).problems())


def test_without_git_there_are_words(tmp_path: Path) -> None:
    script = (
        "from swarm.world.git import Git, GitError\n"
        f"try: Git({str(tmp_path)!r}, {str(tmp_path)!r}).tip('main')\n"
        "except GitError as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "git is not installed | install git 2.38 or newer", done.stderr


def test_an_odd_file_name_survives_the_way_through_the_door(tmp_path: Path) -> None:
    scratch = make(tmp_path / "r")
    name = os.fsdecode(b"caf\xe9 \n x")
    (scratch.root / name).write_text("x")
    scratch.git("add", "-A")
    assert Door(str(scratch.root), str(scratch.common)).run("ls-files", "-z").split("\0")[1] == name


def test_an_odd_file_name_in_what_git_says_about_it_is_printable(tmp_path: Path) -> None:
    scratch = make(tmp_path / "r")
    answer = Door(str(scratch.root), str(scratch.common)).ask("add", "--", os.fsdecode(b"caf\xe9"))
    assert answer.code
    assert "caf\ufffd" in answer.err
    assert answer.err.encode()


def test_the_words_of_an_error_are_bounded() -> None:
    error = GitError("caf\udce9" + "x" * 100_000, hint="y" * 100_000)
    assert str(error).startswith("caf\ufffdx")
    assert len(str(error).encode()) == len(error.hint) == 4000


def test_names_for_an_event_are_bounded_in_number_and_in_bytes() -> None:
    assert named([]) == []
    assert named(["a", "b"], most=2) == ["a", "b"]
    assert named(["a", "b", "c"], most=2) == ["a", "b", "… and 1 more"]
    assert named(["aaaa", "bbbb"], room=14) == ["aaaa", "bbbb"]
    assert named(["aaaa", "bbbb"], room=13) == ["aaaa", "… and 1 more"]
    assert named(["\x01", "b"], room=8) == ["… and 2 more"]
    assert named(["caf\udce9"]) == ["caf\ufffd"]


def test_erase_deletes_links_but_not_what_they_lead_to(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "link").symlink_to(victim)
    (tmp_path / "top").symlink_to(victim)
    erase(str(folder))
    erase(str(tmp_path / "top"))
    erase(str(tmp_path / "never was"))
    assert not folder.exists()
    assert not (tmp_path / "top").is_symlink()
    assert (victim / "precious").read_text() == "x"
