"""The log is found from wherever one stands, and a copied clone is another node."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.errors import UsageError
from swarm.eventlog.place import Place, find, initialise, node_of

ENTROPY = 0x1234_5678_9ABC_DEF0


def git(where: Path, *words: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", "-C", where, *name, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    return root


def initialised(root: Path, entropy: int = ENTROPY) -> Place:
    place = find(str(root), {}, initialised=False)
    initialise(place, lambda: entropy)
    return place


def test_all_paths_hang_on_the_common_directory_and_the_root(repository: Path) -> None:
    place, home = initialised(repository), repository / ".git" / "swarm"
    assert (place.root, place.common, place.home) == (str(repository), str(repository / ".git"), str(home))
    assert place.log == str(home / "log")
    assert [place.runs, place.locks] == [str(home / name) for name in ("runs", "locks")]
    assert place.worktrees == str(repository / ".swarm" / "worktrees")
    folders = (place.home, place.log, place.runs, place.locks, place.worktrees)
    assert {os.stat(folder).st_mode & 0o777 for folder in folders} == {0o700}


def test_it_is_found_from_a_subdirectory_and_from_a_linked_worktree(repository: Path, tmp_path: Path) -> None:
    place = initialised(repository)
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    git(repository, "worktree", "add", "-q", "--detach", str(repository / ".swarm" / "worktrees" / "inner"))
    for start in (repository / "a" / "b", tmp_path / "linked" / "deep", repository / ".swarm" / "worktrees" / "inner"):
        start.mkdir(parents=True, exist_ok=True)
        assert find(str(start), {}) == place


def test_it_is_found_where_the_git_directory_is_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "project"
    subprocess.run(["git", "init", "-q", "--separate-git-dir", tmp_path / "far.git", root], check=True)
    place = initialised(root)
    assert (place.root, place.common) == (str(root), str(tmp_path / "far.git"))
    assert find(str(root), {"SWARM_LOG": place.log}) == place
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    with pytest.raises(UsageError, match="main work tree"):
        find(str(tmp_path / "linked"), {})


def test_the_named_log_wins_and_needs_no_repository_around(repository: Path, tmp_path: Path) -> None:
    place = initialised(repository)
    assert find(str(tmp_path), {"SWARM_LOG": place.log}) == place
    assert find(str(tmp_path), {"SWARM_LOG": place.link}) == place
    with pytest.raises(UsageError, match="SWARM_LOG names"):
        find(str(repository), {"SWARM_LOG": str(tmp_path / "nowhere" / "log")})


def test_outside_of_a_repository_the_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no git repository") as caught:
        find(str(tmp_path), {})
    assert caught.value.hint == "git init"


def test_a_repository_without_a_swarm_names_the_command(repository: Path) -> None:
    with pytest.raises(UsageError, match="no log") as caught:
        find(str(repository), {})
    assert caught.value.hint == "swarm init"
    with pytest.raises(UsageError, match="no log"):
        node_of(find(str(repository), {}, initialised=False), lambda: 1)


def test_a_bare_repository_is_refused_from_inside_and_from_its_worktrees(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(repository), str(bare))
    git(bare, "worktree", "add", "-q", str(tmp_path / "linked"), "main")
    for start in (bare, bare / "refs", tmp_path / "linked"):
        with pytest.raises(UsageError, match="bare"):
            find(str(start), {}, initialised=False)


def test_a_worktree_whose_repository_is_gone_is_refused(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    os.rename(repository, tmp_path / "moved")
    with pytest.raises(UsageError, match="there is no repository") as caught:
        find(str(tmp_path / "linked"), {})
    assert caught.value.hint == "git worktree repair"


def test_to_initialise_again_changes_nothing_and_git_overlooks_it(repository: Path) -> None:
    exclude = repository / ".git" / "info" / "exclude"
    exclude.write_text("*.tmp")  # no newline at its end
    place = initialised(repository)
    before = Path(place.home, "node.json").read_bytes()
    initialised(repository, entropy=1)
    assert exclude.read_text() == "*.tmp\n.swarm/\n"
    assert Path(place.home, "node.json").read_bytes() == before
    assert os.readlink(place.link) == "../.git/swarm/log"
    assert os.path.samefile(place.link, place.log)
    assert git(repository, "status", "--porcelain", "--untracked-files=all") == ""


def test_a_link_that_leads_elsewhere_is_set_right(repository: Path) -> None:
    place = initialised(repository)
    os.unlink(place.link)
    os.symlink("/nowhere", place.link)
    initialised(repository)
    assert os.path.samefile(place.link, place.log)


def test_what_is_in_the_way_is_named(repository: Path) -> None:
    (repository / ".swarm").mkdir()
    (repository / ".swarm" / "log").mkdir()
    with pytest.raises(UsageError, match=r"\.swarm/log: something else is in the way"):
        initialised(repository)
    shutil.rmtree(repository / ".swarm")
    (repository / ".swarm").write_text("a file")
    with pytest.raises(UsageError, match=r"\.swarm/worktrees: something else"):
        initialised(repository)


def test_a_node_keeps_its_name(repository: Path) -> None:
    place = initialised(repository)
    assert node_of(place, lambda: 1) == "n56789abcdef0"
    kept = json.loads(Path(place.home, "node.json").read_text())
    assert kept.keys() == {"node", "machine", "device", "inode"}


def test_a_moved_clone_is_the_same_node_and_a_copied_one_is_another(repository: Path, tmp_path: Path) -> None:
    node = node_of(initialised(repository), lambda: 1)
    subprocess.run(["cp", "-r", repository, tmp_path / "copy"], check=True)
    copy = find(str(tmp_path / "copy"), {})
    assert node_of(copy, lambda: 1) == node_of(copy, lambda: 2) == "n000000000001"
    os.rename(repository, tmp_path / "moved")
    assert node_of(find(str(tmp_path / "moved"), {}), lambda: 3) == node


def test_a_node_file_of_another_machine_or_of_garbage_is_no_identity(repository: Path) -> None:
    place = initialised(repository)
    path = Path(place.home, "node.json")
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"machine": "another"}))
    assert node_of(place, lambda: 1) == "n000000000001"
    path.write_bytes(b'{"node": "\xff')
    assert node_of(place, lambda: 2) == "n000000000002"


def test_processes_that_ask_first_at_the_same_time_agree(repository: Path, children: Any) -> None:
    place = initialised(repository)
    reader, writer = os.pipe()
    for turn in range(10):
        os.unlink(os.path.join(place.home, "node.json"))
        pids = [children.run(lambda n=n: os.write(writer, node_of(place, lambda: n).encode())) for n in range(4)]
        assert [children.wait(pid) for pid in pids] == [0] * 4
        names = os.read(reader, 4 * 13)
        assert names == names[:13] * 4, turn
    os.close(reader)
    os.close(writer)
