"""What became of each letter, for each of its readers."""

import pytest

from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from swarm.projections import mail

from given import History


@pytest.fixture
def history() -> History:
    return History()


def state(history: History) -> mail.State:
    return history.board[mail.State]


def test_a_letter_is_unread_until_somebody_had_it(history: History) -> None:
    letter = history.said(MailSent(to=["human", "merger"], body="hi"))
    assert state(history).letters[letter].status == mail.UNREAD
    history.said(MailDelivered(letter=letter, reader="human"), letter)
    found = state(history).letters[letter]
    assert found.status == mail.DELIVERED
    assert found.taken("human")
    assert not found.taken("merger"), "each reader for themselves"
    history.said(MailAcked(letter=letter, reader="merger"), letter)
    assert state(history).letters[letter].status == mail.ACKED


def test_it_is_settled_when_every_named_recipient_had_it_or_is_gone(history: History) -> None:
    letter = history.said(MailSent(to=["human", "agent-kim"], body="hi"))
    history.said(MailDelivered(letter=letter, reader="human"), letter)
    assert letter in state(history).unsettled
    history.said(MailDeadLettered(letter=letter, recipient="agent-kim", reason="not at work"), letter)
    assert state(history).unsettled == {}


def test_a_letter_to_an_issue_is_settled_by_any_reader(history: History) -> None:
    letter = history.said(MailSent(to=["issue:sw-a"], body="hi"))
    history.said(MailDelivered(letter=letter, reader="agent-builder-1"), letter)
    assert state(history).unsettled == {}


@pytest.mark.parametrize(
    ("to", "by", "settled"),
    [
        ("@builders", "agent-kim", True),
        ("@scouts", "human", False),
        ("issue:sw-a", "human", False),
        ("broadcast", "agent-kim", True),
        ("broadcast", "human", True),
        ("broadcast", "coordinator", False),
    ],
)
def test_pains_3_a_letter_to_many_is_settled_once_one_of_them_had_it(
    history: History, to: str, by: str, settled: bool
) -> None:
    letter = history.said(MailSent(to=[to, by], body="hi"))
    history.said(MailDelivered(letter=letter, reader=by), letter)
    assert (letter not in state(history).unsettled) is settled


def test_pains_3_a_letter_to_a_group_that_is_dead_is_settled(history: History) -> None:
    letter = history.said(MailSent(to=["@builders"], body="hi"))
    assert letter in state(history).unsettled
    history.said(MailDeadLettered(letter=letter, recipient="@builders", reason="nobody"), letter)
    assert state(history).unsettled == {}


def test_a_letter_that_only_came_to_nobody_is_dead(history: History) -> None:
    letter = history.said(MailSent(to=["agent-kim"], body="hi"))
    history.said(MailDeadLettered(letter=letter, recipient="agent-kim", reason="not at work"), letter)
    assert state(history).letters[letter].status == mail.DEAD


def test_a_reading_that_is_seen_before_its_letter_shows_no_letter_yet(history: History) -> None:
    history.said(MailDelivered(letter="later", reader="human"), "later")
    assert list(state(history).sent()) == []


def test_a_letter_is_found_by_the_beginning_or_the_end_of_its_id(history: History) -> None:
    first = history.said(MailSent(to=["human"], body="1"))
    second = history.said(MailSent(to=["human"], body="2"))
    found = state(history)
    assert mail.find(found, first[:13]).id == first
    assert mail.find(found, second[-4:].upper()).id == second
    with pytest.raises(UsageError, match="matches 2"):
        mail.find(found, first[:6])
    with pytest.raises(UsageError, match="no letter"):
        mail.find(found, "ffff")
