"""An event in one readable line, and an event named by a person."""

from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog import events as page
from swarm.eventlog.errors import UsageError
from swarm.eventlog.fact import Fact, Unknown, vocabulary
from swarm.eventlog.lines import envelope
from swarm.eventlog.telling import named, sentence, short, tell
from swarm.eventlog.text import printable

ID = "019aa3c1-b2c3-7000-8000-0000deadbeef"


def sample(kind: type[Fact], text: str = "word") -> Fact:
    """A fact of that kind with every field set."""

    def value(hint: Any) -> Any:
        if get_origin(hint) is list:
            return [value(get_args(hint)[0])]
        if get_origin(hint) is tuple:
            return tuple(value(part) for part in get_args(hint))
        if get_origin(hint) is dict:
            return {text: value(get_args(hint)[1])}
        if isinstance(hint, type) and issubclass(hint, page.Part):
            parts = get_type_hints(hint)
            return hint(**{name: value(parts[name]) for name in hint.__struct_fields__})
        if args := get_args(hint):
            return value(args[0])
        return {str: text, int: 7, float: 1.5, bool: True, bytes: text.encode()}[hint]

    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return kind(**{name: value(hint) for name, hint in hints.items()})


def is_harmless(line: str) -> bool:
    return len(line.splitlines()) == 1 and "\t" not in line and printable(line) == line


def event(fact: Fact, source: str = "merger", subject: str = "sw-7f3a91c2", id_: str = ID) -> Any:
    return envelope(fact, id=id_, time="", source=source, subject=subject)


@pytest.mark.parametrize("kind", vocabulary().values(), ids=lambda kind: kind.type)
def test_every_fact_of_the_vocabulary_has_a_sentence(kind: type[Fact]) -> None:
    words = sentence(event(sample(kind)))
    assert len(words) > 3
    assert "word" in words or "7" in words or kind is page.RunStopRequested
    assert "sw-7f3a91c2" in tell(event(sample(kind)))


@pytest.mark.parametrize("kind", [*vocabulary().values(), Unknown], ids=lambda kind: kind.type or "unknown")
def test_nothing_in_an_event_acts_on_a_terminal_or_begins_a_new_line(kind: type[Fact]) -> None:
    hostile = sample(kind, "a\x1b[2Jb\nc\u202ed\x9be\r\x00")
    line = tell(event(hostile, source="agent/x\x1b]0;owned\x07\n", subject="s\x1b[31m\n\t"))
    assert is_harmless(line)
    assert len(line) < 600


@pytest.mark.parametrize("kind", [*vocabulary().values(), Unknown], ids=lambda kind: kind.type or "unknown")
def test_a_line_stays_short_whatever_is_in_the_event(kind: type[Fact]) -> None:
    assert len(tell(event(sample(kind, "x" * 50_000), source="agent/" + "y" * 5000, subject="z" * 5000))) < 600


@given(st.text(max_size=300), st.sampled_from(list(vocabulary().values())))
def test_any_text_is_told_in_one_line(text: str, kind: type[Fact]) -> None:
    assert is_harmless(tell(event(sample(kind, text), subject=text)))


def test_a_line_begins_with_the_utc_time_of_the_id_the_subject_and_the_type() -> None:
    assigned = page.IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="shell")
    line = tell(event(assigned, source="coordinator"))
    assert line == f"{line[:8]}  sw-7f3a91c2     issue.assigned      attempt 1 to builder-1 (shell)"
    assert line[:8] == "00:12:51"


def test_what_a_person_or_an_agent_did_and_every_letter_names_its_author() -> None:
    opened = page.IssueOpened(title="Add a parser", needs=["sw-1"])
    assert sentence(event(opened, source="human")) == "human: Add a parser (needs sw-1)"
    letter = page.MailSent(to=["human"], body="stuck", kind="blocked", priority=1)
    assert sentence(event(letter, source="coordinator")) == "coordinator: to human (blocked, priority 1): stuck"


def test_an_unknown_price_is_called_unknown_and_never_zero() -> None:
    used = page.UsageReported(session="s", attempt=1, model="m", origin="runtime", calls=2)
    assert "price unknown" in sentence(event(used))
    assert "$" not in sentence(event(used))


def test_an_event_of_an_unknown_type_is_shown_with_its_data() -> None:
    line = tell(event(Unknown(name="quota.exhausted", raw=b'{"provider":"acme"}')))
    assert "quota.exhausted" in line
    assert "acme" in line


def test_an_event_is_named_by_the_beginning_or_the_end_of_its_id() -> None:
    first, second = event(page.IssueReopened(), id_=ID), event(page.IssueReopened(), id_=ID[:-8] + "0000cafe")
    assert named([first, second], ID) is first
    assert named([first, second], "DEADBEEF") is first
    assert named([first, second], short(second.id)) is second
    with pytest.raises(UsageError, match="matches 2 events"):
        named([first, second], "019aa3c1")
    with pytest.raises(UsageError, match="no event"):
        named([first, second], "0badc0de")
    with pytest.raises(UsageError, match="no event"):
        named([first, second], "")


def test_the_same_event_twice_is_one_event() -> None:
    first = event(page.IssueReopened())
    assert named([first, first], "deadbeef") is first
