"""How safe an append is, is asked in one place: the settings' file, and for tests the environment."""

from pathlib import Path

import pytest

from swarm.eventlog.errors import UsageError
from swarm.world.node import durability


def test_it_is_group_unless_something_else_is_said(tmp_path: Path) -> None:
    assert durability(str(tmp_path), {}) == "group"
    (tmp_path / "swarm.toml").write_text("[start]\nmax_agents = 2\n")
    assert durability(str(tmp_path), {}) == "group"


@pytest.mark.parametrize("word", ["fsync", "group", "none"])
def test_the_file_says_it_and_the_environment_wins(tmp_path: Path, word: str) -> None:
    (tmp_path / "swarm.toml").write_text(f'[log]\ndurability = "{word}"\n')
    assert durability(str(tmp_path), {}) == word
    assert durability(str(tmp_path), {"SWARM_DURABILITY": "none"}) == "none"


def test_an_unknown_word_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SWARM_DURABILITY is 'often'"):
        durability(str(tmp_path), {"SWARM_DURABILITY": "often"})
    (tmp_path / "swarm.toml").write_text('[log]\ndurability = "often"\n')
    with pytest.raises(UsageError, match=r"log\.durability"):
        durability(str(tmp_path), {})
