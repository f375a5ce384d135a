"""Addresses: what exists, what is refused, and whom a letter reaches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import IssueClosed
from swarm.mailbox import addresses
from swarm.mailbox.addresses import Reader, reaches
from swarm.projections import issues

KIM = Reader("agent-kim", role="builder", issue="sw-1", since="0100")
PAT = Reader("agent-pat", role="scout", issue="sw-2", since="0100")
HUMAN = Reader("human")
COORDINATOR = Reader("coordinator")
GONE = Reader("agent-gone")


@pytest.mark.parametrize(
    ("to", "readers"),
    [
        ("human", {HUMAN}),
        ("coordinator", {COORDINATOR}),
        ("agent-kim", {KIM}),
        ("issue:sw-1", {KIM}),
        ("issue:sw-3", set()),
        ("broadcast", {KIM, PAT, HUMAN}),
        ("@builders", {KIM}),
        ("@scouts", {PAT}),
    ],
)
def test_a_letter_reaches_those_of_its_address(to: str, readers: set[Reader]) -> None:
    everybody = (KIM, PAT, HUMAN, COORDINATOR, GONE)
    assert {who for who in everybody if reaches([to], "coordinator", "0200", who)} == readers


def test_nobody_gets_their_own_broadcast_but_a_letter_to_oneself_arrives() -> None:
    assert not reaches(["broadcast", "@builders"], "agent/kim", "0200", KIM)
    assert reaches(["broadcast"], "agent/kim", "0200", HUMAN)
    assert reaches(["agent-kim"], "agent/kim", "0200", KIM)


@pytest.mark.parametrize("to", ["agent-kim", "broadcast", "@builders"])
def test_what_was_sent_before_an_agent_began_is_not_for_it(to: str) -> None:
    assert not reaches([to], "human", "0099", KIM)


def test_a_letter_to_an_issue_waits_for_whoever_works_on_it() -> None:
    assert reaches(["issue:sw-1"], "human", "0001", KIM)


def test_several_addresses_reach_each_of_them() -> None:
    assert all(reaches(["issue:sw-9", "human", "@scouts"], "merger", "0200", who) for who in (HUMAN, PAT))


def test_a_reader_is_who_the_log_says_it_is_now(log: Any) -> None:
    assert addresses.reader(log.board, "agent-kim") == Reader("agent-kim")
    first = log.assign("sw-1", "kim")
    assert addresses.reader(log.board, "agent-kim") == Reader("agent-kim", "builder", "sw-1", first)
    log.end("sw-1")
    assert addresses.reader(log.board, "agent-kim") == Reader("agent-kim")
    second = log.assign("sw-2", "kim", role="scout")
    assert addresses.reader(log.board, "agent-kim") == Reader("agent-kim", "scout", "sw-2", second)
    assert addresses.reader(log.board, "human") == Reader("human")


def test_pains_5_a_recipient_is_known_or_refused_with_the_known_ones(log: Any) -> None:
    log.open("sw-12345678")
    log.assign("sw-12345678", "kim")
    for address in (*addresses.ALWAYS, "agent-kim", "issue:sw-12345678"):
        assert addresses.check_recipient(log.board, address) == address
    assert addresses.check_recipient(log.board, "issue:1234") == "issue:sw-12345678"
    for address in ("agent-pat", "kim", "", "issue:sw-9", "issue:", "@all", "Human"):
        with pytest.raises(UsageError) as refused:
            addresses.check_recipient(log.board, address)
        assert refused.value.hint
    with pytest.raises(UsageError) as refused:
        addresses.check_recipient(log.board, "agent-pat")
    assert all(address in refused.value.hint for address in (*addresses.ALWAYS, "issue:ID", "agent-kim"))


def test_an_agent_that_is_not_at_work_cannot_be_reached(log: Any) -> None:
    log.assign("sw-1", "kim")
    assert addresses.is_dead(log.board, "agent-kim", "human", log.send("human", "agent-kim").id) == ""
    log.end("sw-1")
    letter = log.send("human", "agent-kim")
    assert addresses.is_dead(log.board, "agent-kim", "human", letter.id) == "kim is not at work"
    log.assign("sw-2", "kim")
    assert "other work" in addresses.is_dead(log.board, "agent-kim", "human", letter.id)


def test_an_issue_can_be_written_to_until_it_is_done(log: Any) -> None:
    log.open("sw-1")
    assert addresses.is_dead(log.board, "issue:sw-1", "human", "9") == ""
    generation = log.board[issues.State].all["sw-1"].generation
    log.say("human", "sw-1", IssueClosed(generation=generation))
    assert addresses.is_dead(log.board, "issue:sw-1", "human", "9") == "sw-1 is done"


def test_actors_and_people_can_always_be_written_to(log: Any) -> None:
    everybody = (*addresses.ACTORS, addresses.HUMAN)
    assert not any(addresses.is_dead(log.board, address, "agent/kim", "9") for address in everybody)


@pytest.mark.parametrize("to", ["@builders", "@scouts", "broadcast"])
def test_pains_5_a_letter_to_a_group_is_dead_if_nobody_is_at_work_and_for_those_who_come_later(
    log: Any, to: str
) -> None:
    letter = log.send("human", to)
    assert "at work" in addresses.is_dead(log.board, to, "human", letter.id)
    log.assign("sw-1", "kim")
    log.assign("sw-2", "pat", role="scout")
    assert addresses.is_dead(log.board, to, "human", letter.id)
    assert addresses.is_dead(log.board, to, "human", log.send("human", to).id) == ""


def test_pains_5_a_letter_to_a_group_is_dead_once_all_are_gone_whom_it_reached(log: Any) -> None:
    log.assign("sw-1", "kim")
    log.assign("sw-2", "pat")
    log.assign("sw-3", "lee", role="scout")
    letter = log.send("human", "@builders")
    log.end("sw-1")
    assert addresses.is_dead(log.board, "@builders", "human", letter.id) == ""
    log.end("sw-2")
    log.assign("sw-4", "kim")
    assert addresses.is_dead(log.board, "@builders", "human", letter.id) == "it reached no builder who is at work"


def test_pains_5_nobody_reaches_only_themselves_and_an_agents_broadcast_reaches_the_person(log: Any) -> None:
    log.assign("sw-1", "kim")
    assert addresses.is_dead(log.board, "@builders", "agent/kim", "9")
    assert addresses.is_dead(log.board, "broadcast", "agent/kim", "9") == ""
    assert addresses.is_dead(log.board, "broadcast", "human", "9") == ""


@pytest.mark.parametrize("name", ["kim", "builder-1", "a", "7", "a_b", "x" * 48])
def test_a_name_is_taken_with_or_without_its_prefix(name: str) -> None:
    assert addresses.agent_name(name) == addresses.agent_name(f"agent-{name}") == name
    assert addresses.mailbox_of(f"agent-{name}") == f"agent-{name}"


@given(st.text(max_size=60))
def test_a_name_is_safe_in_a_path_and_in_a_ref_or_refused(text: str) -> None:
    try:
        name = addresses.agent_name(text)
    except UsageError:
        return
    assert 1 <= len(name) <= 48
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert name[0] not in "-_"
    assert name[-1] not in "-_"


@pytest.mark.parametrize("text", ["kim\n", "kim/pat", "..", "Kim", "kim ", "x" * 49, "", "agent-", "kim.lock"])
def test_what_no_agent_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        addresses.agent_name(text)


@pytest.mark.parametrize("text", ["broadcast", "@builders", "issue:sw-1", "kim", "", "agent-../x"])
def test_only_one_who_can_write_and_read_has_a_mailbox(text: str) -> None:
    with pytest.raises(UsageError):
        addresses.mailbox_of(text)


@pytest.mark.parametrize(
    ("source", "address"), [("agent/kim", "agent-kim"), ("agent/a-b", "agent-a-b"), ("human", "human"), ("merger",) * 2]
)
def test_a_source_and_its_address_say_the_same(source: str, address: str) -> None:
    assert addresses.address_of(source) == address
    assert addresses.source_of(address) == source
