"""Every fact survives its line; what is no line is said to be none, and nothing else is lost."""

import random
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.eventlog import events as facts
from swarm.eventlog.errors import LogError
from swarm.eventlog.fact import NEVER, NOTHING, Event, Fact, Unknown, vocabulary
from swarm.eventlog.files import Draft
from swarm.eventlog.lines import Bad, _decoder, decode_block, digest, encode, envelope, id_and_time
from swarm.eventlog.upcasts import Upcast

ID = "019aa3c1-0000-7000-8000-00000000000"
TIME = "2025-11-21T04:20:09.123Z"

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
BY_TYPE = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXT,
    bool: st.booleans(),
    list[str]: st.lists(TEXT, max_size=3),
    dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
    float | None: st.none() | st.floats(allow_nan=False, allow_infinity=False),
}


def any_fact(kind: type[Fact]) -> st.SearchStrategy[Fact]:
    return st.builds(kind, **{field.name: any_value(field.type) for field in msgspec.structs.fields(kind)})


def any_value(hint: Any) -> st.SearchStrategy[Any]:
    if hint in BY_TYPE:
        return BY_TYPE[hint]
    if get_origin(hint) is list:
        return st.lists(any_value(get_args(hint)[0]), max_size=3)
    if get_origin(hint) is tuple:
        return st.tuples(*map(any_value, get_args(hint)))
    if get_origin(hint) is dict:
        return st.dictionaries(*map(any_value, get_args(hint)), max_size=3)
    assert issubclass(hint, facts.Part)
    return st.builds(hint, **{field.name: any_value(field.type) for field in msgspec.structs.fields(hint)})


ATTRIBUTES = st.fixed_dictionaries(
    {"id": st.integers(0, 9).map(lambda n: f"{ID}{n}"), "time": TEXT, "source": TEXT},
    optional={
        "subject": TEXT,
        "causationid": TEXT,
        "correlationid": TEXT,
        "seen": BY_TYPE[dict[str, str]],
        "now": BY_TYPE[float],
        "prev": TEXT,
    },
)


def letter(n: int = 0, body: str = "hello", **more: Any) -> Event[Any]:
    return envelope(facts.MailSent(to=["human"], body=body), id=f"{ID}{n}", time=TIME, source="agent/kim", **more)


LETTER = encode(letter())


@pytest.mark.parametrize("kind", vocabulary().values(), ids=vocabulary().keys())
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_fact_survives_its_line(kind: type[Fact], data: st.DataObject) -> None:
    event = envelope(data.draw(any_fact(kind)), **data.draw(ATTRIBUTES))
    line = encode(event)
    assert decode_block(line) == ([event], [])
    assert isinstance(event, Event)
    assert line.startswith(b'{"type":"%s","id":"' % kind.type.encode())
    assert line.count(b"\n") == 1


def test_the_line_is_golden() -> None:
    event = envelope(
        facts.IssueClosed(generation=f"{ID}1", reason="it is done"),
        prev="9f2c000000000000",
        now=1763698809.5,
        seen={"n1": f"{ID}2"},
        correlationid="run-1",
        causationid=f"{ID}1",
        subject="sw-7f3a91c2",
        source="coordinator",
        time=TIME,
        id=f"{ID}3",
    )
    assert encode(event).decode() == (
        f'{{"type":"issue.closed","id":"{ID}3","time":"{TIME}","source":"coordinator","subject":"sw-7f3a91c2",'
        f'"causationid":"{ID}1","correlationid":"run-1","seen":{{"n1":"{ID}2"}},"now":1763698809.5,'
        f'"prev":"9f2c000000000000","data":{{"generation":"{ID}1","reason":"it is done"}}}}\n'
    )


def test_the_digest_is_of_the_bytes_without_the_newline() -> None:
    assert digest(b"abc\n") == digest(b"abc") == "d8bb14d833d59559"


def test_a_line_over_64_kib_is_refused_and_one_of_64_kib_is_not() -> None:
    room = 64 * 1024 - len(encode(letter(body="")))
    assert len(encode(letter(body="x" * room))) == 64 * 1024
    with pytest.raises(LogError, match="65537 bytes"):
        encode(letter(body="x" * (room + 1)))


def test_what_is_not_text_is_refused_with_words() -> None:
    with pytest.raises(LogError, match=r"mail\.sent holds what is not text"):
        encode(letter(body="\ud800"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"garbage", "malformed"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"{}", "type"),
        (b"\0" * 100, "malformed"),
        (LETTER[:-1].replace(b"hello", b"he\0lo"), "malformed"),
        (LETTER[:-1].replace(b"hello", b"he\xfflo"), "UTF-8"),
        (LETTER[:-1].replace(b'"to":', b'"new":"\xff","to":'), "UTF-8"),
        (b"\xef\xbb\xbf" + LETTER[:-1], "malformed"),
        (LETTER[:-20], "truncated"),
        (LETTER[:-1] + LETTER[:-1], "malformed"),
        (LETTER[:-1] + b"," + LETTER[:-1], "malformed"),
        (LETTER[:-1].replace(b'"id"', b'"ID"'), "`id`"),
        (LETTER[:-1].replace(b'"time"', b'"TIME"'), "`time`"),
        (LETTER[:-1].replace(b'"source"', b'"SOURCE"'), "`source`"),
        (LETTER[:-1].replace(b'"data"', b'"DATA"'), "`data`"),
        (LETTER[:-1].replace(b'"source":"agent/kim"', b'"source":7'), "str"),
        (LETTER[:-1].replace(ID.encode(), ID.upper().encode()), "not an id"),
        (LETTER[:-1].replace(b"hello", b"h" * 1024 * 1024), "longer"),
        (LETTER[:-1].replace(b'"to":', b'"new":' + b"[" * 70 + b"]" * 70 + b',"to":'), "deeper"),
        (LETTER[:-1].replace(b'"to":', b'"new":' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b',"to":'), "deeper"),
        (b"[" * 500_000, "deeper"),
        (b'"\\' * 200_000 + b"[" * 100, ""),
    ],
)
def test_a_line_that_is_no_event_is_bad_and_its_neighbours_are_not(line: bytes, reason: str) -> None:
    events, bad = decode_block(LETTER + line + b"\n" + LETTER)
    assert events == [letter(), letter()]
    assert [(b.offset, b.length) for b in bad] == [(len(LETTER), len(line))]
    assert reason in bad[0].reason


def test_brackets_in_a_text_are_no_nesting() -> None:
    event = letter(body='[{"' * 500 + '\\"[')
    assert decode_block(encode(event)) == ([event], [])


def test_an_unknown_type_is_kept_in_order_and_can_be_written_again() -> None:
    line = LETTER.replace(b"mail.sent", b"moon.landed").replace(b'"body"', b'"crew":{"x":[1]},"body"')
    events, bad = decode_block(LETTER + line + LETTER)
    assert not bad
    assert [event.type for event in events] == ["mail.sent", "moon.landed", "mail.sent"]
    assert events[1].data == Unknown("moon.landed", b'{"to":["human"],"crew":{"x":[1]},"body":"hello"}')
    assert events[1].source == "agent/kim"
    assert encode(events[1]) == line


def test_one_line_is_looked_at_without_a_decoder_of_all_types() -> None:
    _decoder.cache_clear()
    assert id_and_time(LETTER) == (letter().id, letter().time)
    assert _decoder.cache_info().currsize == 0
    assert id_and_time(LETTER.replace(b"mail.sent", b"mail.dreamt")) is not None


def test_a_known_type_with_data_that_do_not_fit_is_unknown() -> None:
    events, bad = decode_block(LETTER.replace(b'["human"]', b'"human"'))
    assert not bad
    assert events[0].data == Unknown("mail.sent", b'{"to":"human","body":"hello"}')


def test_fields_of_a_newer_version_are_ignored() -> None:
    newer = LETTER.replace(b'"time"', b'"level":[1,{}],"time"').replace(b'"body"', b'"mood":"good","body"')
    assert decode_block(newer) == ([letter()], [])


def test_empty_lines_are_nothing() -> None:
    assert decode_block(b"\n\n" + LETTER + b"\n") == ([letter()], [])
    assert decode_block(b"") == ([], [])


def test_a_reader_of_some_types_skips_the_rest_unseen_but_not_what_does_not_begin_as_a_line() -> None:
    opened = envelope(facts.IssueOpened(title="a"), id=f"{ID}1", time=TIME, source="human")
    turned = LETTER.replace(b'{"type":"mail.sent",', b"{").replace(b"}}\n", b'},"type":"mail.sent"}\n')
    broken = b'{"type":"mail.sent","id":7}\n'
    block = LETTER + encode(opened) + broken + b"garbage\n" + turned
    events, bad = decode_block(block, only=("issue.",))
    assert events == [opened, letter()]
    assert bad == [Bad(block.index(b"garbage"), 7, bad[0].reason)]
    assert decode_block(LETTER + encode(opened), only=("issue.", "merge.")) == ([opened], [])
    assert decode_block(LETTER + encode(opened), only=("issue.", "mail.")) == ([letter(), opened], [])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_at_all_raise(block: bytes) -> None:
    events, bad = decode_block(block)
    assert len(events) + len(bad) <= block.count(b"\n") + 1
    decode_block(block, only=("mail.",))


SPICE = st.sampled_from(
    [
        b"\n",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xef\xbb\xbf",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[" * 70,
        b"]",
        b",",
        b" ",
        b"1e999",
        b"\r\n",
    ]
)
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), SPICE), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(changes=CHANGES, seed=st.integers(0, 9))
def test_every_line_that_was_not_touched_is_found_and_each_means_the_same_alone(changes: Any, seed: int) -> None:
    letters = [letter(n, body=f"{random.Random(seed + n).random()} é") for n in range(10)]
    block = b"".join(map(encode, letters))
    for where, cut, put in changes:
        at = int(where * len(block))
        block = block[:at] + put + block[at + cut :]
    events, bad = decode_block(block)
    whole = set(block.split(b"\n"))
    intact = [event for event in letters if encode(event)[:-1] in whole]
    assert [event for event in events if event in intact] == intact
    alone = [decode_block(line + b"\n") for line in block.split(b"\n")]
    there = [id_and_time(line) for line in block.split(b"\n")]
    assert there == [(found[0].id, found[0].time) if found else None for found, _ in alone]
    assert events == [event for found, _ in alone for event in found]
    assert [b.reason for b in bad] == [b.reason for _, found in alone for b in found]
    for b in bad:
        assert b"\n" not in block[b.offset : b.offset + b.length]


@pytest.mark.parametrize("kind", ["mail.sent", "mail.sung"])
@pytest.mark.parametrize("put", [b"\\n", b"\\ud800", b"\\x", b"[" * 70, b"\xff", b"\0", b'"'])
def test_whether_a_line_is_an_event_can_be_asked_without_its_data(kind: str, put: bytes) -> None:
    line = LETTER[:-1].replace(b"hello", put).replace(b"mail.sent", kind.encode())
    events, _ = decode_block(line)
    assert id_and_time(line) == ((events[0].id, events[0].time) if events else None)


def test_an_old_shape_is_read_as_todays() -> None:
    """As if `to` had been one address once."""
    old = LETTER.replace(b'"to":["human"]', b'"to":"human"')
    entry = Upcast("mail.sent", "2026-11-21", "a letter may have several recipients", _listed)
    assert decode_block(old)[0][0].data == Unknown(name="mail.sent", raw=b'{"to":"human","body":"hello"}')
    assert decode_block(old, (), [entry]) == ([letter()], [])
    assert decode_block(LETTER + old, (), [entry]) == ([letter(), letter()], [])


def _listed(data: dict[str, Any]) -> dict[str, Any] | None:
    return {**data, "to": [data["to"]]} if isinstance(data["to"], str) else None


def test_a_time_that_is_none_is_left_out_of_the_line() -> None:
    """Ten bytes a line: msgspec compares such a default by identity, and equal floats need not be one object."""
    line = encode(letter())
    assert b'"now"' not in line
    assert Draft(letter().data, "human").now is decode_block(line)[0][0].now is NEVER


def test_what_was_seen_by_nobody_is_one_object_that_cannot_be_changed() -> None:
    """A new dict for each event is dear; and one that all events share must stay empty."""
    line = encode(letter())
    assert b'"seen"' not in line
    assert Draft(letter().data, "human").seen is decode_block(line)[0][0].seen is NOTHING
    for change in (
        lambda: NOTHING.__setitem__("n1", ID),
        lambda: NOTHING.update(n1=ID),
        lambda: NOTHING.setdefault("n1", ID),
        lambda: NOTHING.__ior__({"n1": ID}),
    ):
        with pytest.raises(TypeError, match="make another"):
            change()
    assert NOTHING == {}
