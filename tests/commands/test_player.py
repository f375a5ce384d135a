"""Playing a log: the real gaps, divided by the speed, and nothing is waited for in a test."""

from collections.abc import Callable
from typing import Any

import pytest

from swarm.commands._player import LEAST, Clock, Lines, Picture, play
from swarm.eventlog.events import IssueOpened
from swarm.eventlog.fact import Event
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import envelope
from swarm.projections import Board, issues

BEGIN = 0x019AA3C1B2C3


def event(seconds: float, name: str = "a") -> Event[Any]:
    """An issue that was opened so long after the first."""
    ms = BEGIN + round(seconds * 1000)
    id_ = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7000-8000-000000000000"
    return envelope(IssueOpened(name), id=id_, time=rfc3339(id_), source="human", subject=name)


class Hands:
    """A clock that a test moves: waiting takes as long as is said, drawing `cost`."""

    def __init__(self, cost: float = 0.0) -> None:
        self.time, self.cost, self.waited, self.done = 50.0, cost, [0.0], [""]
        self.waited.clear()
        self.done.clear()

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.wait)

    def wait(self, seconds: float) -> None:
        self.waited.append(round(seconds, 3))
        self.done.append("wait")
        self.time += seconds

    def show(self, event: Event[Any]) -> None:
        self.done.append(event.subject)
        self.time += self.cost

    def rest(self) -> None:
        self.done.append("rest")


GAPS = [event(0, "a"), event(3, "b"), event(3, "c"), event(63, "d")]


@pytest.mark.parametrize(("speed", "waits"), [(1.0, [3.0, 60.0]), (60.0, [0.05, 1.0]), (0.5, [6.0, 120.0]), (0.0, [])])
def test_the_gaps_are_the_real_ones_divided_by_the_speed(speed: float, waits: list[float]) -> None:
    hands = Hands()
    play(Board(), GAPS, speed, hands, hands.clock)
    assert [wait for wait in hands.waited if wait] == waits


def test_there_is_a_rest_before_each_wait_and_at_the_end_and_the_order_is_that_of_the_events() -> None:
    hands = Hands()
    play(Board(), GAPS, 1.0, hands, hands.clock)
    assert hands.done == ["a", "rest", "wait", "b", "c", "rest", "wait", "d", "rest"]


def test_what_drawing_takes_does_not_add_up() -> None:
    hands = Hands(cost=1.0)
    play(Board(), GAPS, 1.0, hands, hands.clock)
    assert sum(hands.waited) + 3 * hands.cost == pytest.approx(63)


def test_long_gaps_are_not_cut_and_a_slow_view_is_caught_up_with() -> None:
    hands = Hands(cost=5.0)
    play(Board(), [*GAPS, event(86_463, "e")], 60.0, hands, hands.clock)
    assert len(hands.waited) == 1
    assert hands.waited[0] == pytest.approx(86_463 / 60 - 4 * 5.0, abs=0.01)


def test_an_event_is_on_the_board_when_it_is_shown_and_not_before() -> None:
    board, seen = Board(), list[tuple[str, int]]()

    class Looks(Hands):
        def show(self, event: Event[Any]) -> None:
            seen.append((event.subject, len(board[issues.State].all)))

    hands = Looks()
    play(board, GAPS, 0.0, hands, hands.clock)
    assert seen == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_an_interrupt_ends_it_at_once() -> None:
    class Interrupted(Hands):
        def wait(self, seconds: float) -> None:
            raise KeyboardInterrupt

    hands = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        play(Board(), GAPS, 1.0, hands, hands.clock)
    assert hands.done == ["a", "rest"]


def test_nothing_is_played_of_nothing() -> None:
    hands = Hands()
    play(Board(), [], 1.0, hands, hands.clock)
    assert (hands.waited, hands.done) == ([], ["rest"])


def picture(hands: Hands, draw: Callable[[Event[Any]], list[str]]) -> tuple[Picture, list[str]]:
    written: list[str] = []
    return Picture(draw, written.append, hands.clock), written


def test_a_picture_is_drawn_over_the_one_before() -> None:
    hands = Hands()
    view, written = picture(hands, lambda event: [event.subject, "second"])
    for one in GAPS[:2]:
        view.show(one)
        hands.time += 1.0
    assert written == [
        "\x1b[2J\x1b[Ha\x1b[K\r\nsecond\x1b[K\r\n\x1b[J",
        "\x1b[Hb\x1b[K\r\nsecond\x1b[K\r\n\x1b[J",
    ]


def test_pictures_that_follow_too_quickly_are_left_out_but_never_the_last_before_a_pause() -> None:
    hands = Hands()
    view, written = picture(hands, lambda event: [event.subject])
    for name in "abcdefgh":
        view.show(event(0, name))
        hands.time += LEAST * 0.3
    assert [text[-9] for text in written] == ["a", "e"]
    view.rest()
    view.rest()
    assert [text[-9] for text in written] == ["a", "e", "h"]


def test_nothing_that_was_logged_acts_on_the_terminal() -> None:
    hands = Hands()
    view, written = picture(hands, lambda _event: ["\x1b]0;title\x07"])
    view.show(GAPS[0])
    assert "\x1b]" not in written[0]
    lines: list[str] = []
    Lines(lambda _event: "\x1b[2Jx", lines.append).show(GAPS[0])
    assert lines == ["\\x1b[2Jx\n"]
