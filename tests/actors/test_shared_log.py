"""Actors where several clones share one log: what needs a lease, what is another node's, what a lost lease undoes."""

from typing import Any

import pytest

from swarm.actors import attempts, builder, coordinator, merger, nodes, scout, watchdog
from swarm.actors.command import Command, Decide
from swarm.actors.coordinator import Share
from swarm.actors.landing import Land, Landing
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueClosed,
    LeaseReleased,
    MailAcked,
    MailDeadLettered,
    MailSent,
    MergeLanded,
    RunStopRequested,
    SessionKillRequested,
    WorkRejected,
)
from swarm.projections import Board, agents, issues, leases, runs
from swarm.projections.leases import MARGIN

from history import STAGES, decided, deeds
from sharing import HERE, HOUR, SHARED, THERE, Shared, cancelled, given, landing, lands, wanted


@pytest.fixture
def h() -> Shared:
    """A run that shares its log, with two agents at most, and three issues."""
    made = Shared()
    made.run(max_agents=2, **SHARED)
    for issue in "abc":
        made.issue(issue)
    return made


# --- beginning ------------------------------------------------------------------------------------


def test_of_a_log_that_is_this_clones_alone_nothing_is_leased_or_shared() -> None:
    h = Shared()
    h.run(node=HERE)
    h.issue("a")
    (command,) = coordinator.due(h.board(), h.now)
    assert isinstance(command, Decide)
    assert isinstance(command.fact, IssueAssigned)
    assert (command.fact.agent, command.fact.node, command.fact.lease) == ("builder-1", HERE, "")


def test_nothing_is_begun_without_a_lease_and_one_is_wanted_for_each_free_place(h: Shared) -> None:
    assert given(h) == []
    assert wanted(h) == ["a", "b"]


def test_what_this_node_has_a_lease_on_is_begun_and_says_so(h: Shared) -> None:
    lease = h.lease("b")
    ((subject, fact),) = given(h)
    assert (subject, fact.attempt, fact.node, fact.lease) == ("b", 1, HERE, lease)
    assert fact.agent == "builder-1-1", "letters go by names: it says the node"
    assert given(h, h.now + HOUR) == [], "it has run out"


def test_what_another_node_has_a_lease_on_is_left_to_it(h: Shared) -> None:
    h.lease("a", THERE)
    assert wanted(h) == ["b", "c"]
    assert given(h) == []
    assert wanted(h, h.now + HOUR + MARGIN / 2) == ["b", "c"], "clocks differ"
    assert wanted(h, h.now + HOUR + MARGIN + 1) == ["a", "b"]


def test_a_lease_on_an_older_generation_is_none(h: Shared) -> None:
    h.lease("a")
    h.add(coordinator.IssueReopened(), "a")
    assert given(h) == []
    assert wanted(h) == ["a", "b"]


def test_what_is_at_work_here_stays_leased_until_it_ends(h: Shared) -> None:
    lease = h.lease("a")
    h.walk("assigned", "a", lease=lease)
    assert wanted(h) == ["a", "b"]
    h.add(RunStopRequested(), "run-1")
    assert wanted(h) == ["a"]
    h.to("landed", "a")
    assert wanted(h) == []


def test_what_is_delegated_is_leased_like_the_rest_and_keeps_the_name_that_was_chosen(h: Shared) -> None:
    h.add(coordinator.IssueDelegated("kim"), "a")
    h.lease("a")
    assert [fact.agent for _, fact in given(h)] == ["kim"]


def test_sharing_goes_on_when_nothing_is_to_be_leased(h: Shared) -> None:
    for issue in "abc":
        h.add(IssueClosed(h.generation(issue)), issue)
    assert deeds(coordinator.due(h.board(), h.now)) == [Share(())]


def test_sharing_is_done_by_the_carrier_and_what_is_wrong_is_told(bench: Any) -> None:
    asked = []

    class Told:
        words = "the hub is away"

        def share(self, wanted: Any) -> str:
            asked.append(wanted)
            return self.words

        def in_time(self, until: float) -> bool:
            return True

    carrier = Told()
    hands = coordinator.Hands(
        **{name: getattr(bench.hands, name) for name in bench.hands.__struct_fields__}
        | {"carrier": carrier, "every": 3.0}
    )
    command = Share((("a", "g"),))
    (said,) = coordinator.perform(command, hands)
    assert isinstance(said.fact, MailSent)
    assert said.fact.to == ["human"]
    assert "the hub is away" in said.fact.body
    carrier.words = ""
    assert coordinator.perform(command, hands) == []
    assert asked == [command.wanted] * 2
    assert command.patience(hands) == 3.0
    assert command.key == Share(()).key, "one at a time"


# --- taking over ----------------------------------------------------------------------------------


def test_an_attempt_whose_lease_was_taken_over_is_called_off(h: Shared) -> None:
    lease = h.lease("a")
    h.walk("started", "a", lease=lease)
    assert cancelled(h) == []
    h.lease("a", after=lease)
    assert cancelled(h) == [], "it was prolonged"
    h.lease("a", THERE, after=lease)
    reason = "its lease ran out and was taken over by n2"
    assert cancelled(h) == [("a", AttemptCancelled(1, reason))]


def test_who_takes_over_calls_off_what_was_begun_and_begins_anew_above_its_numbers(h: Shared) -> None:
    lease = h.lease("a", THERE)
    h.walk("started", "a", node=THERE, lease=lease)
    assert wanted(h) == ["b", "c"]
    assert wanted(h, h.now + HOUR + MARGIN + 1) == ["b", "c"]
    h.run("run-2", max_agents=4, **SHARED)
    assert wanted(h, h.now + HOUR + MARGIN + 2) == ["b", "c", "a"], "what is ready comes first"
    h.lease("a", HERE, after=lease)
    ((issue, fact),) = cancelled(h)
    assert (issue, fact) == ("a", AttemptCancelled(1, "its lease ran out and was taken over by n1"))
    h.add(fact, issue, "coordinator")
    assert [(subject, fact.attempt) for subject, fact in given(h)] == [("a", nodes.TURN + 1)]


def test_what_had_landed_before_it_was_taken_over_is_closed_and_not_done_again(h: Shared) -> None:
    lease = h.lease("a", THERE)
    h.walk("landed", "a", node=THERE, lease=lease)
    h.lease("a", HERE, after=lease)
    assert cancelled(h) == []
    assert [fact for _, fact in decided(coordinator.due(h.board(), h.now)) if isinstance(fact, IssueClosed)]


def test_who_took_over_numbers_on_from_what_it_knows(h: Shared) -> None:
    lease = h.lease("a", THERE)
    h.lease("a", HERE, after=lease)
    h.walk("assigned", "a", nodes.TURN + 1, lease=h.lease("a"))
    h.add(WorkRejected(nodes.TURN + 1, "bad"), "a")
    h.add(AttemptRetried(nodes.TURN + 1, "bad"), "a")
    h.lease("a")
    assert [fact.attempt for _, fact in given(h)] == [nodes.TURN + 2]


# --- what is another node's -----------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_nobody_touches_what_another_node_does(h: Shared, stage: str) -> None:
    h.walk(stage, "a", node=THERE, lease=h.lease("a", THERE))
    for actor in (scout, builder, merger, watchdog):
        assert actor.due(h.board(), h.now + 30) == [], actor.NAME
    assert "a" not in wanted(h)
    assert "a" not in [subject for subject, _ in decided(coordinator.due(h.board(), h.now))]
    assert list(h.board()[agents.State].sessions()) == []


def test_another_nodes_failure_is_its_own_to_judge(h: Shared) -> None:
    h.walk("assigned", "a", node=THERE, lease=h.lease("a", THERE))
    h.add(WorkRejected(1, "bad"), "a")
    assert watchdog.due(h.board(), h.now) == []


def test_another_nodes_branch_does_not_hold_up_the_queue(h: Shared) -> None:
    h.walk("queued", "a", node=THERE, lease=h.lease("a", THERE))
    h.walk("tested", "b", lease=h.lease("b"))
    assert landing(h) == ["b"]


def test_another_nodes_wish_to_stop_is_not_ours(h: Shared) -> None:
    h.run("run-9", **(SHARED | {"node": THERE}))
    h.add(RunStopRequested(agents=True), "run-9")
    assert wanted(h) == ["a", "b"]
    state = h.board()[runs.State]
    assert (state.current and state.current.id, state.ending) == ("run-1", False)
    assert Board().fold(h.events)[runs.State].ending


def test_the_accounts_are_read_for_what_is_at_work_here(h: Shared) -> None:
    h.run("run-2", spend_log="/spend", **SHARED)
    h.walk("exited", "a", node=THERE, lease=h.lease("a", THERE))
    h.walk("exited", "b", lease=h.lease("b"))
    (read,) = [command for command in watchdog.due(h.board(), h.now) if isinstance(command, watchdog.ReadSpend)]
    assert read.known == (("b-1", "b", 1),)


# --- letters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("author", "answers"), [(HERE, True), (THERE, False)])
def test_letters_are_answered_where_they_were_written(h: Shared, author: str, answers: bool) -> None:
    """Else a person would get each word of a blocked agent from every node."""
    h._minter = h.minter(author)
    letter = h.letter("coordinator", "merger", "watchdog", "agent-gone", source="agent/kim", kind="blocked")
    for actor in (coordinator, merger, watchdog):
        acked = [fact for _, fact in decided(actor.due(h.board(), h.now)) if isinstance(fact, MailAcked)]
        assert acked == ([MailAcked(letter, actor.NAME)] if answers else [])
    said = [*decided(coordinator.due(h.board(), h.now)), *decided(watchdog.due(h.board(), h.now))]
    assert any(isinstance(fact, MailSent) for _, fact in said) is answers
    assert any(isinstance(fact, MailDeadLettered) for _, fact in said) is answers


def test_a_letter_to_an_agent_of_another_node_is_not_dead(h: Shared) -> None:
    h.walk("started", "a", node=THERE, lease=h.lease("a", THERE))
    h.letter("agent-builder-1-n2", "@builders")
    assert watchdog.due(h.board(), h.now) == []


# --- landing --------------------------------------------------------------------------------------


def test_landing_needs_the_lease_and_carries_it(h: Shared) -> None:
    until = h.now + HOUR
    lease = h.lease("a", until=until)
    h.walk("tested", "a", lease=lease)
    (land,) = lands(h)
    assert (land.members[0].lease, land.members[0].until) == (lease, until)
    assert lands(h, until) == [], "it has run out"
    longer = h.lease("a", after=lease, until=h.now + 2 * HOUR)
    assert [land.members[0].lease for land in lands(h, until)] == [longer], "it was prolonged"


def test_a_stale_lease_does_not_land(h: Shared) -> None:
    lease = h.lease("a")
    h.walk("tested", "a", lease=lease)
    theirs = h.lease("a", THERE, after=lease)
    assert lands(h) == []
    h.lease("a", HERE, after=theirs)
    assert lands(h) == [], "another node had it in between"


def test_one_that_waits_for_its_lease_does_not_hold_up_the_others(h: Shared) -> None:
    h.walk("tested", "a", lease=h.lease("a", until=h.now + 1))
    h.walk("tested", "b", lease=h.lease("b"))
    for batch, dissolved in decided(merger.due(h.board(), h.now)):
        h.add(dissolved, batch, "merger")
    assert landing(h) == ["b"]


def test_what_began_before_the_log_was_shared_lands_once_it_is_leased(h: Shared) -> None:
    h.walk("tested", "a")
    assert lands(h) == []
    assert "a" in wanted(h)
    lease = h.lease("a")
    assert [land.members[0].lease for land in lands(h)] == [lease]


def test_where_sharing_was_switched_off_only_what_another_node_took_over_does_not_land(h: Shared) -> None:
    lease = h.lease("a")
    h.walk("tested", "a", lease=lease)
    h.run("run-2", node=HERE)
    assert [land.members[0].lease for land in lands(h, h.now + 2 * HOUR)] == [""]
    h.lease("a", THERE, after=lease)
    assert lands(h) == []


def test_a_landing_whose_lease_ran_out_while_it_waited_is_not_done(bench: Any) -> None:
    class Late:
        late = True

        def share(self, wanted: Any) -> str:
            return ""

        def in_time(self, until: float) -> bool:
            return not self.late

    carrier = Late()
    hands = merger.Hands(
        **{name: getattr(bench.hands, name) for name in bench.hands.__struct_fields__} | {"carrier": carrier}
    )
    base = bench.repository.tip("main")
    bench.repository.prepare("w", "swarm/kim/a-1", base)
    tip = bench.repository.commit("swarm/kim/a-1", {"new": "1\n"})
    land = Land("b-1", "main", base, tip, (Landing("a", 1, tip, "lease", 7.0),), "cause")
    assert merger.perform(land, hands) == []
    assert bench.repository.moves == []
    carrier.late = False
    (said,) = merger.perform(land, hands)
    assert said.fact == MergeLanded(1, "main", base, tip, "lease", "b-1", tip)


# --- coming to rest -------------------------------------------------------------------------------


def test_work_on_another_node_is_waited_for_while_its_lease_lasts(h: Shared) -> None:
    assert not coordinator.at_work_elsewhere(h.board(), h.now)
    h.lease("a")
    assert not coordinator.at_work_elsewhere(h.board(), h.now)
    h.lease("b", THERE)
    assert coordinator.at_work_elsewhere(h.board(), h.now)
    assert not coordinator.at_work_elsewhere(h.board(), h.now + HOUR + MARGIN + 1)
    h.add(IssueClosed(h.generation("b")), "b")
    assert not coordinator.at_work_elsewhere(h.board(), h.now)


def test_a_run_that_ends_gives_up_what_it_did_not_begin(h: Shared) -> None:
    begun, idle, _ = h.lease("a"), h.lease("b"), h.lease("c", THERE)
    h.walk("started", "a", lease=begun)
    assert [(said.subject, said.fact) for said in coordinator.leaving(h.board(), h.now)] == [("b", LeaseReleased(idle))]
    assert coordinator.leaving(h.board(), h.now + HOUR) == [], "it has run out anyway"
    h.add(LeaseReleased(idle), "b")
    assert coordinator.leaving(h.board(), h.now) == []


def test_what_was_given_up_is_free_at_once(h: Shared) -> None:
    lease = h.lease("a", THERE)
    h.add(LeaseReleased(lease), "a")
    assert wanted(h) == ["a", "b"]
    assert h.board()[leases.State].holder("a", h.generation("a"), h.now) is None


def test_what_is_at_work_here_is_seen_by_others_as_at_work_and_left_alone(h: Shared) -> None:
    h.walk("started", "a", node=THERE, lease=h.lease("a", THERE))
    state = h.board()[issues.State]
    assert state.all["a"].status == issues.IN_PROGRESS
    assert h.board()[agents.State].ongoing() == []
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    assert [command for command in watchdog.due(h.board(), h.now) if not isinstance(command, Decide)] == []


def test_the_way_of_an_attempt_is_the_same_with_a_lease(h: Shared) -> None:
    h.walk("assigned", "a", lease=h.lease("a"))
    found: list[Command] = builder.due(h.board(), h.now)
    assert [type(command) for command in found] == [attempts.Prepare]
