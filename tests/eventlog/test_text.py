"""Hostile text, made harmless."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog.text import head, plain, printable, tail

HOSTILE = [
    "\x1bP" * 200_000,
    "\x1bP" + "a" * 400_000,
    ("\x1bP" + "a" * 4095) * 100,
    ("\x1b[" + "1;" * 31) * 6_000,
    "\x1b[" + "1" * 400_000,
    "\x1b]" * 200_000,
    "\x1b" + " " * 400_000,
    "\x9b" * 100_000,
]


def test_sequences_are_gone_and_words_stay() -> None:
    text = "a\x1b[1;31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1bPq#0\x1b\\\x1b(B\x9b2Jend"
    assert plain(text) == "aredlinkend"


def test_lines_and_tabs_stay_and_other_controls_go() -> None:
    assert plain("10%\r20%\r\nx\ty\x00\x08\x7f\u202e\ud800") == "10%\n20%\nx\ty\ufffd"


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert printable("a\x1b]52;c\x07\u202eb\U000e0041\n\t\ud800é") == "a\\x1b]52;c\\x07\\u202eb\\U000e0041\n\t\ufffdé"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_input_takes_long(text: str) -> None:
    begun = time.perf_counter()
    plain(text)
    printable(text)
    assert time.perf_counter() - begun < 1


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_controls_is_left_in_any_text(text: str) -> None:
    for made in (plain(text), printable(text)):
        made.encode()
        assert not [c for c in made if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 20))
def test_a_cut_is_within_its_bytes_and_between_characters(text: str, size: int) -> None:
    for cut in (head(text, size), tail(text, size)):
        assert len(cut.encode()) <= size
    if text.isascii():
        assert head(text, size) == text[:size]
        assert tail(text, size) == text[-size:]


def test_a_cut_keeps_as_much_as_fits() -> None:
    assert (head("ééé", 5), tail("ééé", 5)) == ("éé", "éé")
