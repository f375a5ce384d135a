"""Quotas and admission: what the newest word is on each provider, and on each node."""

import pytest

from swarm.eventlog.events import AdmissionClosed, AdmissionOpened, QuotaExhausted, QuotaProbed, QuotaResumed
from swarm.projections import admission, quotas

from given import History


@pytest.fixture
def history() -> History:
    return History()


def known(history: History, name: str = "claude") -> quotas.Provider:
    return history.board[quotas.State].find(name)


def test_of_several_refusals_the_longest_counts_and_of_other_providers_none(history: History) -> None:
    history.said(QuotaExhausted(until=50.0, reason="no more"), "claude")
    history.said(QuotaExhausted(until=90.0, reason="no more"), "claude")
    newest = history.said(QuotaExhausted(until=70.0, reason="no more"), "claude")
    assert known(history).until == 90.0
    assert known(history).newest == newest
    assert known(history).probe is None
    assert known(history, "codex").until == 0


def test_who_tries_is_known_until_there_is_an_answer(history: History) -> None:
    history.said(QuotaExhausted(until=50.0, reason="no more"), "claude")
    history.said(QuotaProbed(issue="sw-a"), "claude")
    assert known(history).until == 0
    probe = known(history).probe
    assert probe
    assert probe.data.issue == "sw-a"
    assert history.board[quotas.State].busy() == {"sw-a"}
    history.said(QuotaExhausted(until=80.0, reason="no more"), "claude")
    assert known(history).until == 80.0
    assert known(history).probe is None
    assert len(known(history).probes) == 1, "so that the next wait is longer"


def test_an_answer_settles_all_that_was_before(history: History) -> None:
    history.said(QuotaExhausted(until=50.0, reason="no more"), "claude")
    history.said(QuotaProbed(issue="sw-a"), "claude")
    history.said(QuotaResumed(), "claude")
    assert (known(history).until, known(history).probe, known(history).probes) == (0, None, {})
    history.said(QuotaExhausted(until=99.0, reason="no more"), "claude")
    assert known(history).until == 99.0


@pytest.mark.parametrize(
    ("until", "words"), [(1_795_273_200.0, "15:00 UTC"), (1_795_359_600.0, "2026-11-22 15:00 UTC")]
)
def test_a_time_is_told_with_its_date_where_it_is_far(until: float, words: str) -> None:
    assert quotas.clock(until, 1_795_273_100.0) == words


def test_the_newest_answer_of_a_node_counts(history: History) -> None:
    assert history.board[admission.State].closed("n1") == ""
    closed = history.said(AdmissionClosed(reason="no disk"), "n1")
    assert history.board[admission.State].closed("n1") == "no disk"
    assert history.board[admission.State].closed("n2") == ""
    history.said(AdmissionOpened(), "n1")
    assert history.board[admission.State].closed("n1") == ""
    assert history.board[admission.State].since("n1") == closed
