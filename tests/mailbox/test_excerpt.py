"""The excerpt: what a decision is about, in lines that no terminal minds."""

from swarm.eventlog.events import (
    AdmissionClosed,
    AdmissionOpened,
    IssueReopened,
    LeaseAcquired,
    MailAcked,
    QuotaExhausted,
    QuotaProbed,
    QuotaResumed,
    RunStopRequested,
    SessionKillRequested,
    WorkRejected,
)
from swarm.mailbox.excerpt import excerpt

from history import History


def test_an_issue_is_shown_with_its_generation_its_mark_and_the_stage_of_every_attempt() -> None:
    h = History()
    h.run()
    h.issue("a", title="Do it", priority=2, needs=["b"])
    h.issue("b")
    h.to("secured", "a")
    h.add(WorkRejected(1, "the tests fail"), "a", "builder")
    h.add(IssueReopened("again"), "a")
    h.to("started", "a", 2, session="a-2")
    assert excerpt(h.board(), ["a"]) == [
        "issue   a: in_progress, priority 2, for a builder: Do it",
        f"  generation {h.generation('a')[-8:]}, since 08:00:12",
        "  waits for b",
        "  attempt 1: builder-1, failed, the tests fail, of an older generation",
        "  attempt 2: builder-1, working, a-2 runs",
        "agents  builder-1 on a-2 (working)",
        "queue   empty",
        "run     run-1: 4 agents at most, 1 retries, landing on main, test: make test",
    ]


def test_an_issue_is_shown_with_the_lease_on_it() -> None:
    h = History()
    h.issue("a")
    lease = h.add(LeaseAcquired("n2", h.generation("a"), 1_800_000_600.0), "a")
    assert excerpt(h.board(), ["a"])[2] == f"  lease {lease[-8:]}: human: n2 alone may start it, until 08:10:00"


def test_a_letter_is_shown_with_who_had_it_and_who_has_not() -> None:
    h = History()
    letter = h.letter("coordinator", "human", source="agent/kim", kind="blocked", body="help\n me")
    h.add(MailAcked(letter, "coordinator"), letter, "coordinator")
    assert excerpt(h.board(), [letter])[:3] == [
        f"letter  {letter[-8:]}: from agent-kim to coordinator, human, blocked: help me",
        "  read by coordinator",
        "  awaited by human",
    ]


def test_what_all_share_is_always_there() -> None:
    assert excerpt(History().board(), ["nothing", ""]) == ["agents  none at work", "queue   empty", "run     none yet"]
    h = History()
    h.run()
    h.issue("a")
    h.to("queued", "a")
    h.issue("b")
    h.to("started", "b")
    h.add(SessionKillRequested("b-1", 1, "enough"), "b")
    h.add(RunStopRequested(agents=True), "run-1")
    told = excerpt(h.board(), ["b", "b"])
    assert "  attempt 1: builder-1, working, b-1 runs, b-1 is to end" in told
    assert told[-2] == "queue   a-1 (queued)"
    assert told[-1].endswith("; human: it is to stop, and its agents too")
    assert len(told) == 6


def test_long_lists_and_long_histories_are_cut() -> None:
    h = History()
    h.run()
    h.issue("a", needs=[f"n{number}" for number in range(20)])
    for number in range(1, 10):
        h.to("assigned", "a", number)
    told = excerpt(h.board(), ["a"])
    assert told[2] == "  waits for " + ", ".join(f"n{n}" for n in range(8)) + " and 12 more"
    assert [line[10:11] for line in told if line.startswith("  attempt")] == ["5", "6", "7", "8", "9"]


def test_nothing_in_it_acts_on_a_terminal() -> None:
    h = History()
    h.run(test="make\x1b[2J", target="ma\nin")
    h.issue("a", title="\x1b]0;x\x07\nbad", role="\x9b2J")
    h.to("assigned", "a", agent="builder-1")
    h.add(WorkRejected(1, "\x1b[31mred\nlines"), "a", "builder")
    letter = h.letter("human\x1b", body="\x1bc", source="agent/\x1b")
    for line in excerpt(h.board(), ["a", letter]):
        assert line.isprintable(), line


def test_a_provider_without_quota_and_a_node_without_room_are_shown() -> None:
    h = History()
    h.add(QuotaExhausted(until=1_795_273_200.0, reason="no more"), "claude", "watchdog")
    h.add(AdmissionClosed(reason="no disk"), "n1", "coordinator")
    shown = excerpt(h.board(), [])
    assert "quota   claude: no quota until 15:00:00: no more" in shown
    assert "closed  n1: no disk" in shown
    h.add(QuotaProbed(issue="sw-a"), "claude", "watchdog")
    assert [line for line in excerpt(h.board(), []) if line.startswith("quota")] == [
        "quota   claude: one attempt tries whether it answers again: sw-a"
    ]
    h.add(QuotaResumed(), "claude", "watchdog")
    h.add(AdmissionOpened(), "n1", "coordinator")
    assert not [line for line in excerpt(h.board(), []) if line.startswith(("quota", "closed"))]
