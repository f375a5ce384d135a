"""What an issue's events come to."""

import pytest

from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueLinked,
    IssueOpened,
    IssueReopened,
    IssueTaken,
    LeakCleared,
    LeakDetected,
    MergeConflicted,
    MergeLanded,
    WorkRejected,
    WorktreePrepared,
)
from swarm.projections import issues

from given import History


def assigned(generation: str, attempt: int = 1, agent: str = "builder-1") -> IssueAssigned:
    return IssueAssigned(attempt=attempt, generation=generation, agent=agent, role="builder", runtime="shell")


def state(history: History) -> issues.State:
    return history.board[issues.State]


@pytest.fixture
def history() -> History:
    return History()


def test_an_opened_issue_is_open_and_ready(history: History) -> None:
    history.said(IssueOpened(title="Add a parser"))
    found = state(history)
    assert found.all["sw-a"].status == issues.OPEN
    assert [issue.id for issue in found.ready()] == ["sw-a"]


def test_it_is_in_progress_from_the_assignment_until_the_attempt_is_over(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(assigned(opened))
    assert state(history).all["sw-a"].status == issues.IN_PROGRESS
    history.said(WorkRejected(attempt=1, reason="tests fail"))
    assert state(history).all["sw-a"].status == issues.IN_PROGRESS, "nobody decided yet what comes next"
    history.said(AttemptRetried(attempt=1, reason="tests fail"))
    assert state(history).all["sw-a"].status == issues.OPEN
    assert state(history).all["sw-a"].failures == 1
    assert state(history).all["sw-a"].reason == "tests fail"


def test_what_is_held_for_a_leak_is_blocked_with_the_evidence_until_a_person_clears_it(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(assigned(opened))
    history.said(LeakDetected(attempt=1, what="main got abc"))
    assert state(history).all["sw-a"].status == issues.IN_PROGRESS, "it may have been a person"
    history.said(LeakDetected(attempt=1, what="main got abc", evidence="builder-1 made abc"))
    found = state(history).all["sw-a"]
    assert found.status == issues.BLOCKED
    assert found.reason == "held, for its agent changed your checkout: builder-1 made abc"
    history.said(LeakCleared(attempt=1))
    assert (found := state(history).all["sw-a"]).status == issues.IN_PROGRESS
    assert found.reason == ""


def test_what_failed_besides_its_leak_says_why_it_failed_and_is_tried_again(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(assigned(opened))
    history.said(LeakDetected(attempt=1, what="main got abc", evidence="builder-1 made abc"))
    history.said(WorkRejected(attempt=1, reason="tests fail"))
    assert state(history).all["sw-a"].status == issues.IN_PROGRESS
    history.said(AttemptRetried(attempt=1, reason="tests fail"))
    assert (state(history).all["sw-a"].status, state(history).all["sw-a"].reason) == (issues.OPEN, "tests fail")


def test_a_cancelled_attempt_is_no_failure(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.all([assigned(opened), AttemptCancelled(attempt=1, reason="held")])
    assert state(history).all["sw-a"].failures == 0


def test_the_newest_mark_of_the_generation_decides(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(IssueHeld(generation=opened, reason="needs you"))
    assert state(history).all["sw-a"].status == issues.BLOCKED
    assert state(history).all["sw-a"].reason == "needs you"
    history.said(IssueTaken(generation=opened, by="human"))
    assert (state(history).all["sw-a"].status, state(history).all["sw-a"].assignee) == (issues.IN_PROGRESS, "human")
    history.said(IssueClosed(generation=opened))
    assert state(history).all["sw-a"].status == issues.DONE
    assert state(history).live == {}


def test_a_landing_that_arrives_late_does_not_close_an_issue_that_was_reopened(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(assigned(opened))
    reopened = history.said(IssueReopened())
    history.said(IssueClosed(generation=opened, reason="landed"))
    assert state(history).all["sw-a"].status == issues.OPEN
    assert state(history).all["sw-a"].generation == reopened
    history.said(assigned(reopened, attempt=2, agent="builder-2"))
    assert state(history).all["sw-a"].assignee == "builder-2"
    assert [attempt.number for attempt in state(history).all["sw-a"].tries] == [2]


def test_it_waits_until_all_that_it_needs_is_done(history: History) -> None:
    first = history.said(IssueOpened(title="first"), "sw-a")
    history.said(IssueOpened(title="second", needs=["sw-a"]), "sw-b")
    history.said(IssueLinked(needs=["sw-c", "sw-a"]), "sw-b")
    second = state(history).all["sw-b"]
    assert second.needs == ["sw-a", "sw-c"]
    assert state(history).waiting(second) == ["sw-a", "sw-c"]
    history.said(IssueClosed(generation=first), "sw-a")
    assert state(history).waiting(second) == ["sw-c"]
    assert [issue.id for issue in state(history).ready()] == []


def test_what_is_ready_comes_most_urgent_first_and_then_oldest_first(history: History) -> None:
    for name, priority in (("sw-a", 3), ("sw-b", 1), ("sw-c", 3), ("sw-d", 1)):
        history.said(IssueOpened(title=name, priority=priority), name)
    assert [issue.id for issue in state(history).ready()] == ["sw-b", "sw-d", "sw-a", "sw-c"]


def test_branch_commit_and_assignee_are_those_of_the_attempt_that_counts(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.said(IssueDelegated(agent="builder-7"))
    assert state(history).all["sw-a"].assignee == "builder-7"
    for number in (1, 2):
        history.said(assigned(opened, number))
        history.said(WorktreePrepared(attempt=number, path="p", branch=f"swarm/b/sw-a-{number}", base="0"))
    history.said(MergeLanded(attempt=2, target="main", base="0", commit="c2"))
    issue = state(history).all["sw-a"]
    assert (issue.branch, issue.commit, issue.assignee) == ("swarm/b/sw-a-2", "c2", "builder-1")


def test_a_conflict_is_told_with_its_files(history: History) -> None:
    opened = history.said(IssueOpened(title="t"))
    history.all([assigned(opened), MergeConflicted(attempt=1, base="0", files=["a.py", "b.py"])])
    assert state(history).all["sw-a"].reason == "does not merge: conflict in a.py, b.py"


def test_an_issue_that_was_not_opened_yet_is_not_shown(history: History) -> None:
    history.said(assigned("generation"))
    assert list(state(history).known()) == []
    assert state(history).ready() == []


def test_an_issue_is_found_by_any_unique_prefix(history: History) -> None:
    for name in ("sw-7f3a", "sw-7f4b", "sw-7f"):
        history.said(IssueOpened(title=name), name)
    found = state(history)
    assert issues.find(found, "7f3").id == "sw-7f3a"
    assert issues.find(found, "sw-7f4").id == "sw-7f4b"
    assert issues.find(found, "7f").id == "sw-7f", "a whole id is never ambiguous"
    with pytest.raises(UsageError, match="matches 3 issues"):
        issues.find(found, "sw-")
    with pytest.raises(UsageError, match="no issue"):
        issues.find(found, "zz")


def test_a_circle_of_needs_is_refused_with_the_circle(history: History) -> None:
    history.said(IssueOpened(title="a", needs=["sw-b"]), "sw-a")
    history.said(IssueOpened(title="b", needs=["sw-c"]), "sw-b")
    history.said(IssueOpened(title="c"), "sw-c")
    with pytest.raises(UsageError, match="sw-c -> sw-a -> sw-b -> sw-c"):
        issues.check_needs(state(history), "sw-c", ["sw-a"])
    with pytest.raises(UsageError, match="itself"):
        issues.check_needs(state(history), "sw-c", ["sw-c"])
    assert issues.check_needs(state(history), "sw-a", ["c", "sw-c"]) == ["sw-c"]
