"""Of a long log every command shows what it would if it had folded all of it, and folds only what it must."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.segments import is_sealed
from swarm.eventlog.tail import read_all
from swarm.projections import Board, issues, mail
from swarm.world import checkpoints

import longlog

LOOKS = [
    ["issue", "list"],
    ["issue", "list", "--status", "done"],
    ["issue", "list", "--status", "open"],
    ["issue", "list", "--status", "in_progress", "--label", "none"],
    ["issue", "ready", "--json"],
    ["agent", "list", "--json"],
    ["agent", "show", "builder-3", "--json"],
    ["mail", "list", "--unread"],
    ["mail", "list", "--unread", "--to", "human"],
    ["mail", "list", "--to", "coordinator", "--limit", "30"],
    ["mail", "show", "3"],
    ["mail", "show", "300"],
    ["status", "--json"],
]


@pytest.fixture
def home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """With a log of which most has left memory, and its checkpoints."""
    monkeypatch.setattr(checkpoints, "CHAPTER", 1 << 20)
    longlog.write(Path(home.place.log), 25_000)
    board = home.board()
    home.save()
    home.close()
    assert Path(home.place.cache, checkpoints.FILE).exists()
    assert len(board[issues.State].all) < 200
    return home


def test_what_is_shown_does_not_depend_on_checkpoints(home: Home, swarm: Any) -> None:
    everything = Board().fold(read_all(home.place.log))
    done = [issue.id for issue in everything[issues.State].known() if issue.status == issues.DONE]
    letter = next(iter(everything[mail.State].sent())).id
    looks = [*LOOKS, *(["issue", "show", issue] for issue in (done[0], done[len(done) // 2], done[-1]))]
    looks += [["issue", "show", done[3], "--json"], ["mail", "list", "--unread", "--issue", done[0]]]
    quick = [swarm(*look) for look in looks]
    shutil.rmtree(home.place.cache)
    Path(home.place.cache).write_text("nothing can be saved here")
    assert quick == [swarm(*look) for look in looks]
    assert all(result.code == 0 for result in quick)
    assert letter in swarm("mail", "list").out
    assert len(swarm("issue", "show", done[0], "--json").json["mail"]) >= 2


@pytest.mark.parametrize("look", [["issue", "ready"], ["issue", "list", "--status", "open"], ["mail", "show"]])
def test_what_concerns_the_present_alone_reads_none_of_the_past(home: Home, swarm: Any, look: list[str]) -> None:
    with longlog.reading(home.place.log) as names:
        assert swarm(*look).code == 0
    assert names
    assert not any(map(is_sealed, names))
