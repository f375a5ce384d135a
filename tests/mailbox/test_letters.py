"""Letters: what is unread for whom, what becomes of it, and how it reads."""

from typing import Any

from swarm.eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from swarm.mailbox import letters
from swarm.mailbox.addresses import Reader, reader

HUMAN = Reader("human")


def test_unread_is_most_urgent_first_then_oldest(log: Any) -> None:
    third, fourth = log.send("merger", "human"), log.send("merger", "human")
    first, second = log.send("merger", "human", priority=1), log.send("merger", "broadcast", priority=2)
    log.send("merger", "coordinator", priority=1)
    assert letters.unread(log.board, HUMAN) == [first, second, third, fourth]


def test_pains_4_what_one_reader_had_is_read_for_that_reader_only(log: Any) -> None:
    log.assign("sw-1", "kim")
    log.assign("sw-2", "pat")
    letter = log.send("human", "@builders")
    kim, pat = reader(log.board, "agent-kim"), reader(log.board, "agent-pat")
    (fact,) = letters.delivered([letter], kim)
    assert fact == MailDelivered(letter=letter.id, reader="agent-kim")
    log.say("agent/kim", letter.id, fact)
    assert letters.delivered([letter], kim) == [], "once"
    assert (letters.unread(log.board, kim), letters.unread(log.board, pat)) == ([], [letter])
    assert letters.acked(letter, pat) == [MailAcked(letter=letter.id, reader="agent-pat")]
    log.say("agent/pat", letter.id, *letters.acked(letter, pat))
    assert letters.acked(letter, pat) == [], "once"
    assert letters.unread(log.board, pat) == []


def test_an_actor_waits_for_letters_by_name_until_it_has_taken_note(log: Any) -> None:
    first, second = log.send("human", "coordinator"), log.send("human", "coordinator", "merger")
    log.send("human", "broadcast")
    assert letters.waiting_for(log.board, "coordinator") == [first, second]
    log.say("coordinator", first.id, MailAcked(letter=first.id, reader="coordinator"))
    log.say("merger", second.id, MailAcked(letter=second.id, reader="merger"))
    assert letters.waiting_for(log.board, "coordinator") == [second]
    assert letters.waiting_for(log.board, "merger") == []


def test_pains_5_each_recipient_that_cannot_have_it_is_named_once(log: Any) -> None:
    log.assign("sw-1", "kim")
    log.end("sw-1")
    log.assign("sw-2", "pat")
    letter = log.send("human", "agent-kim", "agent-pat", "coordinator")
    (dead,) = letters.undeliverable(log.board, letter)
    assert dead == MailDeadLettered(letter=letter.id, recipient="agent-kim", reason="kim is not at work")
    log.say("watchdog", letter.id, dead)
    assert letters.undeliverable(log.board, letter) == []
    assert letters.unread(log.board, Reader("agent-kim")) == []


def test_pains_3_what_was_called_dead_is_never_marked_as_read_as_well(log: Any) -> None:
    log.assign("sw-1", "kim")
    kim = reader(log.board, "agent-kim")
    for to in ("agent-kim", "@builders", "issue:sw-1", "broadcast"):
        letter = log.send("human", to)
        assert letters.unread(log.board, kim) == [letter]
        log.say("watchdog", letter.id, MailDeadLettered(letter=letter.id, recipient=to, reason="gone"))
        assert letters.unread(log.board, kim) == letters.delivered([letter], kim) == letters.acked(letter, kim) == []


def test_pains_5_a_letter_to_a_group_is_undeliverable_once_and_only_if_none_of_them_had_it(log: Any) -> None:
    log.assign("sw-1", "kim")
    log.assign("sw-2", "pat")
    had, lost = log.send("human", "@builders"), log.send("human", "@builders")
    log.say("agent/pat", had.id, MailDelivered(letter=had.id, reader="agent-pat"))
    log.end("sw-1")
    assert letters.undeliverable(log.board, lost) == [], "pat can still have it"
    log.end("sw-2")
    assert letters.undeliverable(log.board, had) == []
    (dead,) = letters.undeliverable(log.board, lost)
    assert (dead.recipient, "no builder" in dead.reason) == ("@builders", True)
    log.say("watchdog", lost.id, dead)
    assert letters.undeliverable(log.board, lost) == []


def test_what_was_read_in_time_is_not_dead_later(log: Any) -> None:
    log.assign("sw-1", "kim")
    letter = log.send("human", "agent-kim")
    log.say("agent/kim", letter.id, MailDelivered(letter=letter.id, reader="agent-kim"))
    log.end("sw-1")
    assert letters.undeliverable(log.board, letter) == []


def test_pains_5_the_sender_and_the_person_are_told_once_and_not_about_the_telling() -> None:
    dead = MailDeadLettered(letter="0001", recipient="agent-kim", reason="kim is not at work")
    sent = MailSent(to=["agent-kim"], body="are you there?", kind="handoff", issue="sw-1")
    notice = letters.notices(dead, sent, "agent/pat")
    assert notice is not None
    assert (notice.to, notice.kind, notice.issue, notice.reply_to) == (["agent-pat", "human"], "event", "sw-1", "0001")
    for words in ("agent-kim", "not at work", "are you there?"):
        assert words in notice.body
    assert letters.notices(dead, notice, "watchdog") is None
    by_person = letters.notices(dead, sent, "human")
    assert by_person is not None
    assert by_person.to == ["human"]


def test_a_row_has_the_promised_keys(log: Any) -> None:
    letter = log.send("agent/kim", "human", "issue:sw-1", body="hi", priority=2, issue="sw-1")
    assert letters.row(letter) == {
        "id": "0001", "from": "agent-kim", "to": ["human", "issue:sw-1"], "type": "event", "priority": 2,
        "issue": "sw-1", "body": "hi", "status": "unread", "at": "at 1",
    }  # fmt: skip


def test_the_status_is_the_furthest_that_any_reader_got(log: Any) -> None:
    letter = log.send("human", "agent-kim", "agent-pat")
    steps: list[Any] = [
        (MailDeadLettered(letter=letter.id, recipient="agent-kim", reason="gone"), "dead"),
        (MailDelivered(letter=letter.id, reader="agent-pat"), "delivered"),
        (MailAcked(letter=letter.id, reader="agent-pat"), "acked"),
    ]
    for fact, status in steps:
        log.say("watchdog", letter.id, fact)
        assert letters.row(letter)["status"] == status


def test_a_prompt_says_who_wrote_what_about_what_and_how_to_answer(log: Any) -> None:
    one = log.send("agent/kim", "human", body="first \x1b[2J", issue="sw-1")
    two = log.send("coordinator", "human", body="second")
    text = letters.prompt_text([one, two])
    assert text.startswith("You have 2 new messages.\n")
    assert "[1] from agent-kim, event, about sw-1, at 1, id 0001\nfirst \\x1b[2J\n" in text
    assert "[2] from coordinator, event, at 2, id 0002\nsecond\n" in text
    assert text.endswith("swarm mail send --to coordinator --reply-to 0002 --body TEXT\n")
    assert letters.prompt_text([one]).startswith("You have 1 new message.\n")


def test_no_letters_make_no_prompt() -> None:
    assert letters.prompt_text([]) == ""
