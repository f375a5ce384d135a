"""Whatever is wrong with checkpoints, or with the log under them, and whoever saves: the board is that of the log."""

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from swarm.eventlog.events import (
    IssueClosed,
    IssueOpened,
)
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import node_files, read_all
from swarm.projections import LAST, Archive, Board, issues
from swarm.world.checkpoints import FILE, Keeper, as_of
from swarm.world.store import Stale

from longlog import add, line, opened, shown, some_done, whole


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(100_000))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_code(path: Path) -> None:
    _change(path, "UPDATE format SET fingerprint = 'x'")


def no_tables(path: Path) -> None:
    _change(path, "DROP TABLE keys")


def other_board(path: Path) -> None:
    _change(path, "UPDATE points SET board = replace(board, 'sw-', 'sx-')")


def other_marks(path: Path) -> None:
    _change(path, "UPDATE last SET marks = NULL")


def no_points(path: Path) -> None:
    _change(path, "DELETE FROM points")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def scattered(path: Path) -> None:
    """Bytes here and there, as a dying disk has it."""
    content, chance = bytearray(path.read_bytes()), random.Random(1)
    for _ in range(200):
        content[chance.randrange(len(content))] = 0
    path.write_bytes(content)


DAMAGES = [cut, garbage, empty, other_code, no_tables, other_board, other_marks, no_points, a_folder, scattered]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_costs_nothing_but_time(
    log: str, cache: str, long_screen: list[str], damage: Callable[[Path], None]
) -> None:
    damage(Path(cache, FILE))
    keeper = opened(log, cache)
    assert shown(keeper.board) == long_screen
    keeper.close()
    again = opened(log, cache)
    assert shown(again.board) == long_screen
    again.close()


INDEX = {
    "another key": "UPDATE keys SET key = 'sw-~' || substr(key, 5) WHERE key = ?",
    "a key of bytes": "UPDATE keys SET key = CAST(key AS BLOB) WHERE key = ?",
    "another cell": "UPDATE keys SET cell = cell + 1 WHERE key = ?",
    "no cell": "UPDATE keys SET cell = -7 WHERE key = ?",
    "another page": "UPDATE keys SET page = page + 100 WHERE key = ?",
    "a page later": "UPDATE keys SET page = page + 1 WHERE key = ?",
    "no key": "DELETE FROM keys WHERE key = ?",
    "no page": "DELETE FROM pages WHERE page IN (SELECT page FROM keys WHERE key = ?)",
    "another page's ranges": (
        "UPDATE pages SET ranges = (SELECT p.ranges FROM pages p WHERE p.page = pages.page % 5 + 1)"
        " WHERE page IN (SELECT page FROM keys WHERE key = ?)"
    ),
}


@pytest.fixture(params=INDEX.values(), ids=INDEX)
def lost(log: str, cache: str, request: pytest.FixtureRequest) -> str:
    """An issue that rests, and that the index no longer leads to."""
    issue = some_done(log, 1)[0]
    db = sqlite3.connect(Path(cache, FILE))
    assert db.execute(request.param, (issue,)).rowcount > 0
    db.commit()
    db.close()
    return issue


def test_that_there_is_no_such_key_is_never_said_because_the_index_is_damaged(log: str, cache: str, lost: str) -> None:
    keeper = opened(log, cache)
    with pytest.raises(Stale, match="it is damaged"):
        issues.find(keeper.board[issues.State], lost)
    keeper.close()
    again = opened(log, cache)
    assert issues.find(again.board[issues.State], lost).status == issues.DONE, "the next one has made it anew"
    again.close()


def test_a_late_event_misses_nothing_because_the_index_is_damaged(log: str, cache: str, lost: str) -> None:
    add(log, "n5.jsonl", line(IssueOpened(title="again"), 1, lost))
    keeper, wanted = opened(log, cache), whole(log)
    assert shown(keeper.board) == shown(wanted)
    assert issues.find(keeper.board[issues.State], lost) == wanted[issues.State].all[lost]
    keeper.close()


@pytest.mark.parametrize("damage", list(INDEX)[:7])
def test_no_name_is_left_out_because_the_index_is_damaged(log: str, cache: str, damage: str) -> None:
    issue = some_done(log, 1)[0]
    asks: list[Callable[[Archive], list[str]]] = [
        lambda archive: archive.between(issue[:5], issue[:5] + LAST),
        lambda archive: archive.ending(issue[-5:]),
    ]
    for ask in asks:
        keeper = opened(log, cache)
        assert issue in ask(keeper.board[issues.State].archive)
        keeper.close()
    _change(Path(cache, FILE), INDEX[damage].replace("?", f"'{issue}'"))
    content = Path(cache, FILE).read_bytes()
    for ask in asks:
        keeper = opened(log, cache)
        with pytest.raises(Stale, match="it is damaged"):
            ask(keeper.board[issues.State].archive)
        keeper.close()
        assert not Path(cache, FILE).exists(), "the next one makes it anew"
        Path(cache, FILE).write_bytes(content)


def test_of_what_is_found_by_its_first_word_none_is_left_out(log: str, cache: str) -> None:
    keeper = opened(log, cache)
    keys = keeper.board[issues.State].archive.between("", LAST)
    keeper.close()
    entry = next(key for key in keys if key.startswith("about:"))
    word = entry.split(" ")[0]
    keeper = opened(log, cache)
    archive = keeper.board[issues.State].archive
    assert archive.between(f"{word} ", f"{word} {LAST}") == [key for key in keys if key.startswith(f"{word} ")]
    keeper.close()
    _change(Path(cache, FILE), f"UPDATE keys SET key = '{word}x' WHERE key = '{entry}'")
    keeper = opened(log, cache)
    with pytest.raises(Stale, match="it is damaged"):
        keeper.board[issues.State].archive.between(f"{word} ", f"{word} {LAST}")
    keeper.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE points SET newest = '' WHERE kept = 0",
        "UPDATE points SET page = page + 1 WHERE kept = 0",
        "DELETE FROM points WHERE kept = 0",
        "UPDATE points SET sums = zeroblob(32772) WHERE kept = 0",
        "DELETE FROM pages WHERE page = 2",
    ],
)
def test_the_past_is_not_another_because_the_points_are_damaged(log: str, cache: str, statement: str) -> None:
    events = read_all(log)
    _change(Path(cache, FILE), statement)
    content = Path(cache, FILE).read_bytes()
    for share in (0.1, 0.95):
        at = events[int(len(events) * share)].id
        with suppress(Stale):
            assert shown(as_of(log, cache, at)) == shown(Board().fold(event for event in events if event.id <= at))
        Path(cache, FILE).write_bytes(content)
    keeper = opened(log, cache)
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


def test_without_the_cache_it_takes_longer_and_is_the_same(log: str, cache: str, long_screen: list[str]) -> None:
    shutil.rmtree(cache)
    for _ in range(2):
        keeper = opened(log, cache)
        assert shown(keeper.board) == long_screen
        keeper.close()
    assert keeper.fresh == 0, "and the next one has it again"


def test_where_nothing_can_be_saved_everything_is_folded(log: str, tmp_path: Path, long_screen: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    keeper = opened(log, str(tmp_path / "file" / "cache"))
    assert shown(keeper.board) == long_screen
    keeper.save()
    keeper.close()


def test_a_file_that_was_changed_is_noticed(log: str, cache: str) -> None:
    path = Path(log, node_files(log)[2])
    path.write_bytes(path.read_bytes().replace(b'"cost":0.00', b'"cost":9.00'))
    keeper = opened(log, cache)
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


def test_a_file_that_is_gone_is_noticed(log: str, cache: str) -> None:
    os.unlink(os.path.join(log, node_files(log)[2]))
    keeper = opened(log, cache)
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


def test_a_file_that_changes_under_an_open_board_is_noticed_when_it_is_needed(log: str, cache: str) -> None:
    keeper = opened(log, cache)
    one = some_done(log, 1)[0]
    for name in node_files(log):
        path = Path(log, name)
        path.write_bytes(path.read_bytes().replace(one.encode(), b"sw-" + b"0" * (len(one) - 3)))
    with pytest.raises(Stale, match="does not fit") as raised:
        keeper.board.recall(one)
    assert raised.value.hint == "run it again: it is made anew"
    keeper.anew()
    assert shown(keeper.board) == shown(whole(log))
    assert not os.path.exists(os.path.join(cache, FILE)), "the next one begins anew"
    keeper.close()


def test_one_that_was_changed_with_its_time_kept_is_noticed(log: str, cache: str) -> None:
    """By the time of change (ctime), which nobody can set."""
    one = some_done(log, 1)[0]
    for path in [Path(log, name) for name in node_files(log)]:
        before = path.stat()
        path.write_bytes(path.read_bytes().replace(one.encode(), b"sw-" + b"0" * (len(one) - 3)))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    keeper = opened(log, cache)
    keeper.board.recall(one)
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


# --- several at once ------------------------------------------------------------------------------


def filled(log: str, begin: int, count: int = 1100) -> None:
    add(log, "n5.jsonl", *(line(IssueOpened(title="n"), begin + n, f"sw-{begin + n}") for n in range(count)))


def test_of_two_that_save_at_once_one_wins_and_both_are_right(log: str, cache: str) -> None:
    one, other = opened(log, cache), opened(log, cache)
    filled(log, 1)
    one.read()
    filled(log, 10_000)
    other.read()
    one.save()
    other.save()
    filled(log, 20_000)
    for keeper in (one, other, opened(log, cache)):
        keeper.read()
        assert shown(keeper.board) == shown(whole(log))
        for issue in ("sw-7", "sw-10007", "sw-20007"):
            assert issues.find(keeper.board[issues.State], issue).status == issues.OPEN
        keeper.close()


def test_while_a_running_system_saves_nobody_else_does(log: str, cache: str) -> None:
    system = Keeper(log, cache, owner=True)
    stamp = os.stat(os.path.join(cache, FILE)).st_mtime_ns
    filled(log, 1)
    command = opened(log, cache)
    command.save()
    assert os.stat(os.path.join(cache, FILE)).st_mtime_ns == stamp
    system.read()
    system.save()
    assert os.stat(os.path.join(cache, FILE)).st_mtime_ns > stamp
    command.close()
    system.close()


def test_an_owner_saves_however_short_the_log(tmp_path: Path) -> None:
    log, cache = tmp_path / "log", str(tmp_path / "cache")
    log.mkdir()
    keeper = Keeper(str(log), cache, owner=True)
    filled(str(log), 1)
    keeper.read()
    keeper.save()
    keeper.close()
    again = opened(str(log), cache)
    assert (again.fresh, len(again.board[issues.State].all)) == (0, 1100)
    again.close()


def test_a_checkpoint_is_written_beside_the_folding(log: str, cache: str) -> None:
    """As a running system does it: drawn up between two folds, written in a thread while the next ones go on."""
    writer = Log(log, "n5", lambda: 1_900_000_000.0, random.Random(1).getrandbits(64).__int__)
    keeper = Keeper(log, cache, owner=True)
    threads = []
    for round_ in range(6):
        for part in range(0, 600, 100):
            drafts = [Draft(IssueOpened(title="t" * 500), "human", f"sw-{round_}-{part + n}") for n in range(100)]
            made = writer.append(drafts)
            closing = [Draft(IssueClosed(generation=event.id), "human", event.subject) for event in made]
            writer.append(closing)
            keeper.read()
        draft = keeper.draft()
        assert draft
        threads.append(threading.Thread(target=keeper.write, args=[draft]))
        if len(threads) > 1:
            threads[-2].join()
        threads[-1].start()
    threads[-1].join()
    writer.close()
    keeper.close()
    again = opened(log, cache)
    assert again.fresh == 0
    assert shown(again.board) == shown(whole(log))
    assert issues.find(again.board[issues.State], "sw-2-345").status == issues.DONE
    again.close()
