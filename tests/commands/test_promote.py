"""`swarm promote`: from the staging branch to the main branch, or not at all."""

from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.tail import read_all

import repository


@pytest.fixture(autouse=True)
def staging(repo: repository.Scratch) -> str:
    """A commit on staging that main does not have."""
    repo.git("checkout", "-qb", "staging")
    made = repo.commit({"new": "1\n"})
    repo.git("checkout", "-q", "main")
    return made


def test_main_is_fast_forwarded_and_then_has_everything(
    swarm: Any, home: Home, repo: repository.Scratch, staging: str
) -> None:
    base = repo.git("rev-parse", "main")
    done = swarm("promote", "--json")
    assert done.json == {"source": "staging", "target": "main", "base": base, "commit": staging}
    assert repo.git("rev-parse", "main") == staging
    assert (repo.root / "new").read_text() == "1\n"
    (promoted,) = read_all(home.place.log)[-1:]
    assert (promoted.type, promoted.data.base, promoted.data.commit) == ("branch.promoted", base, staging)
    assert swarm("promote").out == "main has everything of staging already\n"


def test_the_validation_sees_the_very_commit_and_its_words_go_to_the_person(
    swarm: Any, home: Home, repo: repository.Scratch
) -> None:
    other = repo.commit({"other": "1\n"})
    done = swarm("promote", "--validate", "git rev-parse HEAD; ls")
    assert done.code == 0, done.err
    assert done.err.split() == [repo.git("rev-parse", "main"), "README", "new", "other"]
    assert repo.git("rev-parse", "main^1") == other
    assert not (repo.root / ".swarm/worktrees/promote").exists()


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("exit 3", "failed with exit code 3"),
        ("no-such-program", "could not be run (exit code 127)"),
        ("kill -9 $$", "failed with exit code 9"),
    ],
)
def test_what_is_not_validated_stays_where_it_is(
    swarm: Any, home: Home, repo: repository.Scratch, command: str, word: str
) -> None:
    before = repo.git("rev-parse", "main"), len(read_all(home.place.log))
    failed = swarm("promote", "--validate", command)
    assert failed.code == 1
    assert f"{word}; nothing was changed" in failed.err
    assert (repo.git("rev-parse", "main"), len(read_all(home.place.log))) == before
    assert not (repo.root / ".swarm/worktrees/promote").exists()


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--from", "main"), "both branches are main"),
        (("--from", "nope"), "there is no branch nope"),
        (("--to", "nope"), "there is no branch nope"),
        (("--from", "--to=x"), "there is no branch --to=x"),
    ],
)
def test_branches_that_are_not_there_are_wrong_words(swarm: Any, args: tuple[str, ...], word: str) -> None:
    refused = swarm("promote", *args)
    assert (refused.code, word in refused.err) == (2, True), refused.err


def test_it_is_validated_with_what_every_worktree_gets(
    swarm: Any, home: Home, repo: repository.Scratch, staging: str
) -> None:
    exclude = repo.common / "info" / "exclude"
    exclude.write_text(exclude.read_text() + ".env\nready\n")
    repo.write({".env": "KEY=1\n"})
    recipe = '[workspace]\ncopy = [".env"]\nsetup = "%s"\n'
    repo.write({"swarm.toml": recipe % "exit 4"})
    refused = swarm("promote", "--validate", "true")
    assert (refused.code, "the setup command failed with exit code 4" in refused.err) == (1, True)
    repo.write({"swarm.toml": recipe % "cp .env ready"})
    assert swarm("promote", "--validate", "grep KEY=1 ready").code == 0
    assert repo.git("rev-parse", "main") == staging
