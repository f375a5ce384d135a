"""The figures are those of the lines, however they are counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.eventlog.events import IssueOpened, MailAcked, MailSent, RunStarted, SessionProgressed
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.ids import Minter, rfc3339
from swarm.eventlog.lines import decode_block, encode, envelope
from swarm.eventlog.stats import Growth, Size, Stats, stats

from driver import driver
from soak import amount

OpenLog = Callable[..., Log]
TEXTS = st.one_of(st.sampled_from(["human", "session/a-1", "session", "sessions/x", ""]), st.text(max_size=9))


def slowly(folder: str) -> dict[str, Counter[str]]:
    """Bytes by type, author and day, by decoding each line."""
    found: dict[str, Counter[str]] = {"type": Counter(), "author": Counter(), "day": Counter()}
    for path in sorted(Path(folder).iterdir()):
        for line in path.read_bytes().splitlines(keepends=True):
            for event in decode_block(line)[0]:
                source = "session" if event.source.startswith("session/") else event.source
                for table, key in (("type", event.type), ("author", source), ("day", rfc3339(event.id)[:10])):
                    found[table][key] += len(line)
    return found


def counted(found: Stats) -> dict[str, Counter[str]]:
    tables = {"type": found.by_type, "author": found.by_author, "day": found.by_day}
    return {name: Counter({key: size.bytes for key, size in sizes.items()}) for name, sizes in tables.items()}


def test_a_run_is_counted_by_type_author_and_day(folder: str) -> None:
    with driver({"a": ["well"], "b": ["breaks", "well"]}) as d:
        d.person(MailSent(to=["coordinator"], body="hello"), "")
        d.run(Random(1))
        found = stats(d.folder)
        assert counted(found) == slowly(d.folder)
        assert found.bytes == sum(path.stat().st_size for path in Path(d.folder).iterdir())
        assert found.events == len(d.events(Fact))
        for sizes in (found.by_type, found.by_author, found.by_day):
            assert sum(size.events for size in sizes.values()) == found.events
        assert found.letters == {"mail.sent": 1, "mail.delivered": 0, "mail.acked": 1, "mail.dead_lettered": 0}
        assert list(found.by_type) == sorted(found.by_type, key=lambda kind: -found.by_type[kind].bytes)
        assert found.per_issue.issues == 2
        assert list(found.per_issue.largest) == ["b", "a"], "the one that was tried twice"


def test_an_empty_log_has_no_figures(folder: str) -> None:
    nothing = {"mail.sent": 0, "mail.delivered": 0, "mail.acked": 0, "mail.dead_lettered": 0}
    assert stats(folder) == Stats(letters=nothing)


def test_growth_is_of_issues_alone(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    for number in range(20):
        log.append([Draft(IssueOpened("t"), "human", f"sw-{number:02}")])
        log.append([Draft(SessionProgressed("s", 1, 1), "session/s", f"sw-{number:02}")] * number)
    sent = log.append([Draft(MailSent(to=["human"], body="x"), "human", "sw-19")])[0].id
    log.append([Draft(MailAcked(sent, "human"), "human", sent)])
    log.append([Draft(RunStarted(1, "b", 1, "0", "main", "shell", 1, 1), "system", "run-1")])
    growth = stats(folder).per_issue
    assert (growth.issues, growth.median.events, growth.p90.events) == (20, 10, 18)
    assert [(issue, size.events) for issue, size in growth.largest.items()][:2] == [("sw-19", 21), ("sw-18", 19)]
    assert len(growth.largest) == 10
    assert stats(folder).per_issue == growth


def test_the_files_are_counted(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    for _ in range(3):
        log.append([Draft(IssueOpened("t"), "human", "sw-a")])
        log.seal(1)
    log.append([Draft(IssueOpened("t"), "human", "sw-a")])
    found = stats(folder)
    assert (found.files, found.sealed, found.events, found.bad) == (4, 3, 4, 0)


def test_garbage_is_counted_apart_and_news_of_a_later_version_by_its_name(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([Draft(IssueOpened("t"), "human", "sw-a")])
    line = Path(log.path).read_bytes()
    newer = line.replace(b"issue.opened", b"planet.Discovered2").replace(b'"source"', b'"mood":1,"source"')
    Path(log.path).write_bytes(line + b"garbage\n\n\xff\n" + newer)
    found = stats(folder)
    assert (found.events, found.bad) == (2, 2)
    assert found.by_type["planet.Discovered2"] == Size(1, len(newer))


def test_days_begin_at_midnight_in_utc(folder: str) -> None:
    midnight = 1_800_057_600  # 2027-01-16
    events = []
    for seconds in (-70.0, -0.001, 0.0, 0.001, 70.0, 86_400.0):
        id_ = Minter(1, lambda: midnight + seconds, lambda: 1).mint()  # noqa: B023
        events.append(envelope(IssueOpened("t"), id=id_, time=rfc3339(id_), source="human", subject="sw-a"))
    Path(folder, "n1.jsonl").write_bytes(b"".join(map(encode, events)))
    by_day = stats(folder).by_day
    assert {day: size.events for day, size in by_day.items()} == {"2027-01-15": 2, "2027-01-16": 3, "2027-01-17": 1}


@pytest.fixture
def mint() -> Callable[[], str]:
    """A new id with each call, some of them a day later."""
    chance = Random(1)
    minter = Minter(1, lambda: 1_800_000_000 + chance.random() * 86_400 * 3, lambda: 1)
    return minter.mint


@settings(max_examples=amount(60, 2000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), max_size=12))
def test_what_is_not_decoded_is_counted_as_if_it_were(
    folder: str, mint: Callable[[], str], lines: list[tuple[str, str, bool]]
) -> None:
    """Authors and subjects of any text, quotes, newlines and all."""
    events: list[Event[Any]] = []
    for source, subject, opens in lines:
        fact: Fact = IssueOpened("t") if opens else SessionProgressed("s", 1, 1)
        id_ = mint()
        events.append(envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject))
    Path(folder, "n1.jsonl").write_bytes(b"".join(map(encode, events)))
    found = stats(folder)
    assert counted(found) == slowly(folder)
    issues = {event.subject for event in events if isinstance(event.data, IssueOpened)} - {""}
    assert found.per_issue.issues == len(issues)
    assert set(found.per_issue.largest) <= issues
    assert (found.per_issue == Growth()) == (not issues)
