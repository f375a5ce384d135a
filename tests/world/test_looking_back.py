"""The board as of any event, from the nearest checkpoint before it."""

from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.fact import Event
from swarm.eventlog.segments import is_sealed
from swarm.eventlog.tail import node_files, read_all
from swarm.projections import Board, issues
from swarm.world.checkpoints import as_of

from longlog import points, reading, shown


@pytest.fixture(scope="session")
def in_order(long_log: Path) -> list[Event[Any]]:
    """All events of the long log by their ids."""
    return read_all(str(long_log))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.49, 0.51, 0.83, 0.97, 1.0])
def test_the_board_as_of_any_event_is_that_of_the_events_up_to_it(
    long_log: Path, long_cache: Path, in_order: list[Event[Any]], share: float
) -> None:
    at = in_order[int(share * (len(in_order) - 1))].id
    board = as_of(str(long_log), str(long_cache), at)
    assert shown(board) == shown(Board().fold(event for event in in_order if event.id <= at))


def test_to_look_back_is_not_to_begin_anew(long_log: Path, long_cache: Path, in_order: list[Event[Any]]) -> None:
    with reading(str(long_log)) as names:
        as_of(str(long_log), str(long_cache), in_order[-1].id)
        assert not any(map(is_sealed, names))
        as_of(str(long_log), str(long_cache), in_order[int(len(in_order) * 0.95)].id)
        assert 0 < len(set(names)) < 0.4 * len(node_files(str(long_log)))


def test_before_everything_there_is_nothing(long_log: Path, long_cache: Path) -> None:
    assert list(as_of(str(long_log), str(long_cache), "")[issues.State].known()) == []


def test_who_looks_back_first_leaves_points_for_the_next(log: str, tmp_path: Path, in_order: list[Event[Any]]) -> None:
    cache = str(tmp_path / "new")
    at = in_order[len(in_order) // 2].id
    assert shown(as_of(log, cache, at)) == shown(Board().fold(event for event in in_order if event.id <= at))
    assert points(cache) == 1
