"""What one git writes of many commits is what a git for each would have written."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.world.commits import signature, tree_of, write, writing
from swarm.world.door import Door, GitError

from repository import Scratch, make
from soak import amount

AUTHOR = "merger (swarm) <merger@swarm.invalid>"
WORDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
ZONES = st.sampled_from(["+0000", "-0000", "+1345", "-0330"])
DATES = st.builds("@{} {}".format, st.integers(0, 4_000_000_000), ZONES)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return make(tmp_path_factory.mktemp("commits") / "r")


def door(scratch: Scratch) -> Door:
    return Door(str(scratch.root), str(scratch.common))


@settings(max_examples=amount(20, 1000), deadline=None)
@given(WORDS, WORDS, WORDS, DATES, st.integers(0, 3))
def test_a_commit_is_the_one_that_git_commit_tree_makes(
    scratch: Scratch, name: str, email: str, message: str, date: str, above: int
) -> None:
    git, head = door(scratch), scratch.git("rev-parse", "HEAD")
    signed = {**signature(git, AUTHOR, 1e9), "GIT_AUTHOR_NAME": f"a{name}", "GIT_AUTHOR_EMAIL": email}
    signed["GIT_AUTHOR_DATE"] = date
    given = tree_of(git, head), [head] * above, message, signed
    with tempfile.TemporaryDirectory() as folder, writing(git, folder) as made:
        assert made(*given) == write(git, *given)


@pytest.mark.parametrize(
    "wrong",
    [{"GIT_AUTHOR_NAME": " .<>"}, {"GIT_AUTHOR_DATE": "@-5 +0000"}, {"GIT_AUTHOR_DATE": "@99999999999999999999 +0000"}],
)
def test_what_git_would_not_sign_is_refused(scratch: Scratch, tmp_path: Path, wrong: dict[str, str]) -> None:
    git, head = door(scratch), scratch.git("rev-parse", "HEAD")
    given = tree_of(git, head), [head], "x", {**signature(git, AUTHOR, 1e9), **wrong}
    with pytest.raises(GitError):
        write(git, *given)
    with pytest.raises(GitError, match="nobody can have signed"), writing(git, str(tmp_path)) as made:
        made(*given)


def test_when_git_cannot_write_its_words_are_told(scratch: Scratch, tmp_path: Path) -> None:
    git, head = door(scratch), scratch.git("rev-parse", "HEAD")
    with pytest.raises(GitError, match=r"git hash-object failed: .*parent"), writing(git, str(tmp_path)) as made:
        made(tree_of(git, head), ["no commit"], "x", signature(git, AUTHOR, 1e9))
