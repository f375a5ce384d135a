"""Checkpoints cost nothing but time: with any of them, or none, the board is that of the whole log."""

import os
import random
import shutil
from pathlib import Path

import pytest

from swarm.eventlog.events import (
    IssueAssigned,
    IssueClosed,
    IssueOpened,
    IssueReopened,
    MailDelivered,
    MailSent,
    UsageReported,
)
from swarm.eventlog.segments import is_sealed, node_of_file, sealed_name
from swarm.eventlog.tail import Tail, node_files
from swarm.mailbox import addresses, letters, views
from swarm.projections import costs, issues, key_of, mail
from swarm.world import checkpoints

from longlog import add, growing, id_of, line, opened, points, reading, shown, some_done, whole

# --- from cold, and warm --------------------------------------------------------------------------


def test_a_checkpoint_shows_what_a_fold_of_everything_shows(
    long_log: Path, long_cache: Path, long_screen: list[str]
) -> None:
    cold = opened(str(long_log), str(long_cache.parent / "other"))
    warm = opened(str(long_log), str(long_cache))
    try:
        assert shown(cold.board) == shown(warm.board) == long_screen
        assert warm.fresh == 0, "nothing was read again"
        assert len(warm.board[issues.State].all) < 130, "and what rests is not in memory"
    finally:
        cold.close()
        warm.close()


def test_the_memory_of_a_cold_start_is_bounded(
    long_log: Path, tmp_path: Path, long_screen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rested for a chapter is forgotten while the log is still being read."""
    monkeypatch.setattr(checkpoints, "CHAPTER", 2 << 20)
    keeper = opened(str(long_log), str(tmp_path / "cache"))
    assert len(keeper.board[issues.State].all) < 300
    assert shown(keeper.board) == long_screen
    keeper.close()


def test_all_that_rests_can_be_recalled(log: str, cache: str) -> None:
    keeper, wanted = opened(log, cache), whole(log)
    board = keeper.board
    for event in random.Random(1).sample(Tail(log).read(), 200):
        board.recall(key_of(event))
    for issue in board[issues.State].all:
        assert board[issues.State].all[issue] == wanted[issues.State].all[issue]
    for account in board[costs.State].accounts:
        recalled, never_forgotten = board[costs.State].accounts[account], wanted[costs.State].accounts[account]
        assert recalled.used() == never_forgotten.used()
        assert recalled == never_forgotten
    for letter in board[mail.State].letters:
        assert board[mail.State].letters[letter] == wanted[mail.State].letters[letter]
    assert shown(board) == shown(wanted)
    keeper.close()


@pytest.mark.parametrize("only", [("agents", "mail"), ("issues",), ("costs",), ("merges", "runs")])
def test_it_serves_some_projections_alone(long_log: Path, long_cache: Path, only: tuple[str, ...]) -> None:
    keeper = opened(str(long_log), str(long_cache), only=only)
    plain = opened(str(long_log), "", only=only)
    for view in (views.costs_view, views.counts_view, views.agents_view):
        try:
            wanted = view(plain.board)
        except KeyError:
            continue  # it needs another projection
        assert view(keeper.board) == wanted
    assert keeper.fresh == 0
    keeper.close()


def test_a_short_log_needs_no_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    add(str(log), "n1.jsonl", line(IssueOpened(title="x"), 1, "sw-a"))
    keeper = opened(str(log), str(tmp_path / "cache"))
    assert list(keeper.board[issues.State].all) == ["sw-a"]
    keeper.save()
    assert not (tmp_path / "cache").exists()


# --- what came since ------------------------------------------------------------------------------


def test_only_what_came_since_is_read(log: str, cache: str) -> None:
    add(log, growing(log), line(IssueOpened(title="new"), 1, "sw-new"))
    keeper = opened(log, cache)
    assert keeper.fresh == 1
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


def test_pains_29_a_warm_start_reads_no_segment_that_a_checkpoint_covers(
    log: str, cache: str, long_screen: list[str]
) -> None:
    """However long the log."""
    assert len(list(filter(is_sealed, node_files(log)))) > 10
    with reading(log) as names:
        keeper = opened(log, cache)
        assert (shown(keeper.board), keeper.fresh) == (long_screen, 0)
        assert not any(map(is_sealed, names))
        keeper.board.recall(some_done(log, 1)[0])
        assert any(map(is_sealed, names)), "and had it read one, that would be seen"
    keeper.close()


def test_the_files_of_a_copy_are_compared_once(log: str, cache: str, long_screen: list[str], tmp_path: Path) -> None:
    """Those of a repository that was copied have other times of change."""
    copy = str(tmp_path / "copy")
    shutil.copytree(log, copy)
    for again in (False, True):
        with reading(copy) as names:
            keeper = opened(copy, cache)
            assert (shown(keeper.board), keeper.fresh) == (long_screen, 0)
            assert len(set(filter(is_sealed, names))) == (0 if again else len(list(filter(is_sealed, node_files(log)))))
        keeper.save()
        keeper.close()


def test_a_late_event_of_another_clone_needs_no_new_fold(log: str, cache: str) -> None:
    """Ids before the newest that was folded, about issues that rest: they are recalled, and nothing else is read."""
    one, other, third = some_done(log)
    early = node_files(log)[0].removesuffix(".jsonl")[-36:]
    late = [
        line(IssueReopened(), 1, one, at=early),
        line(IssueReopened(), 2, other),
        line(UsageReported("s", 1, "m", "proxy", calls=7, cost=2.0), 3, third, at=early),
        line(MailSent(to=["human"], body="late"), 4, "", at=early),
    ]
    add(log, sealed_name("n2", early[:24] + "000000000001"), *late)
    keeper = opened(log, cache)
    assert keeper.fresh == len(late)
    assert shown(keeper.board) == shown(whole(log))
    assert keeper.board[issues.State].all[other].status == issues.OPEN
    keeper.close()


def test_old_events_that_come_again_change_nothing(log: str, cache: str) -> None:
    name = node_files(log)[3]
    shutil.copy(os.path.join(log, name), os.path.join(log, sealed_name("n2", name.removesuffix(".jsonl")[-36:])))
    keeper = opened(log, cache)
    assert keeper.fresh > 1000
    assert shown(keeper.board) == shown(whole(log))
    keeper.close()


def test_what_was_saved_of_a_growing_file_is_found_when_it_is_sealed(log: str, cache: str) -> None:
    with open(os.path.join(log, growing(log)), "rb") as file:
        first = file.readline().split(b'"id":"')[1][:36].decode()
    os.rename(os.path.join(log, growing(log)), os.path.join(log, sealed_name(node_of_file(growing(log)), first)))
    add(log, "n1.jsonl", line(IssueOpened(title="new"), 1, "sw-new"))
    keeper = opened(log, cache)
    assert keeper.fresh == 1
    wanted = whole(log)[mail.State].letters
    for letter in random.Random(1).sample(sorted(wanted), 100):
        keeper.board.recall(letter)
        assert keeper.board[mail.State].letters[letter] == wanted[letter]
    keeper.close()


def test_saving_goes_on_where_the_last_one_ended(log: str, cache: str) -> None:
    first = opened(log, cache)
    for number in range(1500):
        done = IssueClosed(generation=id_of(number))
        add(
            log,
            "n5.jsonl",
            line(IssueOpened(title="n"), number, f"sw-{number}"),
            line(done, 5000 + number, f"sw-{number}"),
        )
    first.read()
    first.save()
    first.close()
    second = opened(log, cache)
    assert second.fresh == 0
    assert shown(second.board) == shown(whole(log))
    assert issues.find(second.board[issues.State], "sw-777").status == issues.DONE
    second.close()


def test_points_on_the_way_come_about_however_little_each_process_adds(
    log: str, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHAPTER", 1 << 18)
    monkeypatch.setattr(checkpoints, "MANY", 1)
    before = points(cache)
    for number in range(6):
        add(log, "n5.jsonl", *(line(IssueOpened(title="x" * 900), number * 99 + n, f"sw-{number}") for n in range(99)))
        keeper = opened(log, cache)
        keeper.save()
        keeper.close()
    assert points(cache) >= before + 2


def test_an_issue_whose_name_another_writer_escaped_is_found(log: str, cache: str) -> None:
    opened_ = line(IssueOpened(title="x"), 1, "sw-strange").replace(b'"sw-strange"', b'"sw-str\\u0061nge"')
    closed = line(IssueClosed(generation=id_of(1)), 2, "sw-strange")
    more = [line(IssueOpened(title="x"), 10 + n, f"sw-{n}") for n in range(1100)]
    done = [line(IssueClosed(generation=id_of(10 + n)), 5000 + n, f"sw-{n}") for n in range(1100)]
    add(log, "n5.jsonl", opened_, closed, *more, *done)
    keeper = opened(log, cache)
    keeper.save()
    keeper.close()
    again = opened(log, cache)
    assert "sw-strange" not in again.board[issues.State].all
    found = issues.find(again.board[issues.State], "sw-strange")
    assert (found.opened.title if found.opened else "", found.status) == ("x", issues.DONE)
    again.close()


def test_letters_that_rest_are_found_by_whom_they_may_still_concern(log: str, cache: str) -> None:
    """A second agent at work on an issue gets what the first was sent there, however long that has been read."""
    issue = some_done(log, 1)[0]
    letter = line(MailSent(to=[f"issue:{issue}"], body="mind the gap"), 1, issue)
    id_ = id_of(1)
    filler = [line(MailSent(to=["human"], body="x"), 100 + n, "") for n in range(1100)]
    heard = [line(MailDelivered(letter=id_of(100 + n), reader="human"), 5000 + n, "") for n in range(1100)]
    add(log, "n5.jsonl", letter, line(MailDelivered(letter=id_, reader="agent-kim"), 2, id_), *filler, *heard)
    keeper = opened(log, cache)
    keeper.save()
    keeper.close()
    given = IssueAssigned(attempt=9, generation="g", agent="pat", role="builder", runtime="shell")
    add(log, "n5.jsonl", line(given, 9000, issue))
    again = opened(log, cache, only=("agents", "mail"))
    assert id_ not in again.board[mail.State].letters
    who = addresses.reader(again.board, "agent-pat")
    assert [one.id for one in letters.unread(again.board, who)] == [id_]
    again.close()
