"""Coordinator: gives ready issues to agents within the limits, closes what landed, calls off what is no longer wanted;
and where other clones share the log, has it carried to them, and a lease acquired on what is to be begun.

Rule: every choice follows from the board and the time alone, so a replay makes the same ones. Of a shared log it begins
only issues that this node holds a lease on.
"""

from collections.abc import Hashable, Iterator

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    AttemptCancelled,
    FindingsReported,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueReopened,
    IssueTaken,
    LeaseReleased,
    MailAcked,
    MailSent,
    MergeConflicted,
    MergeLanded,
    QuotaProbed,
    RunStarted,
    WorkSecured,
)
from ..eventlog.fact import Fact
from ..mailbox import addresses, letters
from ..mailbox.waits import Waits, Way
from ..projections import Board, agents, fact, happened, issues, leases, mail, runs
from . import admission, nodes, retries
from .budgets import book
from .command import Command, Decide, Said
from .hands import Hands

NAME = "coordinator"
AT_ONCE = 1
TESTED = 4
"""So many attempts that need no agent are tested at once, at least."""


class Share(Command, frozen=True):
    """Exchange the log with the other clones, and hold a lease on each of these (issue, generation)."""

    wanted: tuple[tuple[str, str], ...]

    @property
    def key(self) -> Hashable:
        """One at a time."""
        return "share"

    def patience(self, hands: Hands) -> float:
        """Others may have something to say at any time."""
        return hands.every


def due(board: Board, now: float) -> list[Command]:
    """Assignments, closings, cancellations, mail to the coordinator; what is to be measured, and to be shared."""
    decided = [*_close(board), *_cancel(board), *_assign(board, now), *_mail(board)]
    return [*decided, *admission.due(board, now), *_share(board, now)]


def perform(command: Command, hands: Hands) -> list[Said]:
    """Measure; have the log carried; the rest is decided, and there is nothing to do. What does not go through, is told
    once.
    """
    if isinstance(command, admission.Measure):
        return admission.perform(command, hands)
    if not isinstance(command, Share):
        raise TypeError(f"the coordinator has no hands for {command}")
    words = hands.carrier.share(command.wanted) if hands.carrier else ""
    if not words:
        return []
    body = (
        f"The log is not shared as it should be: {words}\n\nMeanwhile nothing is begun that this node has no lease on."
    )
    return [Said("", MailSent(to=[addresses.HUMAN], body=body, priority=2))]


def _assign(board: Board, now: float) -> list[Command]:
    """What is ready goes to a free agent, the most urgent first, while there are places and the run goes on; and where
    its provider has quota, and the machine room.
    """
    run = board[runs.State].current
    if run is None or run.started is None or run.stopping or run.held:
        return []
    free, taken = _places(board, run.started)
    ready = _ready(board, run.started, taken, now)
    given = [*_given(board, ready, taken, run.started)]
    if given or free <= 0:
        return given  # the others are looked at again at once
    accounts = book(board, now)
    able = [issue for issue, _ in ready if not accounts.waits(issue, run.started, _chosen(issue))]
    waits = Waits(board, run.started, now, able)
    taken |= accounts.spent_agents()
    found: list[Command] = []
    for issue, lease in ready:
        if free <= 0:
            break
        way = waits.begin(issue)
        agent = _agent(issue, taken, run.started) if way else ""
        if way and agent and not accounts.waits(issue, run.started, agent):
            taken.add(agent)
            free -= 1
            waits.begun(issue)
            if way.probe:
                found.append(Decide(way.provider, QuotaProbed(issue=issue.id), issue.generation))
            found.append(_assignment(board, issue, agent, run.started, lease, way))
    return found


def _given(
    board: Board, ready: list[tuple[issues.Issue, str]], taken: set[str], settings: RunStarted
) -> Iterator[Command]:
    """What comes with work of its own needs no agent, only a name: it is tested, and queued. It is tried once."""
    room = max(settings.max_agents, TESTED) - sum(attempt.testing for attempt in board[agents.State].ongoing())
    for issue, lease in ready:
        work, resolve = _begun(board, issue, settings)
        if work and not resolve and room > 0 and issue.opened:
            way, agent = Way(issue.opened.runtime or settings.runtime, "", ""), _free(issue, taken, settings)
            taken.add(agent)
            yield _assignment(board, issue, agent, settings, lease, way)
            room -= 1


def begins_later(board: Board, now: float) -> bool:
    """Whether something that failed is tried again after a pause, though nothing may be due until then."""
    run = board[runs.State].current
    if run is None or run.stopping or run.held:
        return False
    ready = (issue for issue in board[issues.State].ready() if run.started and _is_ours(board, issue, run.started))
    return any(retries.waits(issue, now) for issue in ready)


def _ready(board: Board, settings: RunStarted, taken: set[str], now: float) -> list[tuple[issues.Issue, str]]:
    """What we may begin, each with our lease on it (empty where the log is not shared): not what waits for an agent."""
    known = [issue for issue in board[issues.State].ready() if _is_ours(board, issue, settings)]
    ready = [issue for issue in known if _chosen(issue) not in taken and not retries.waits(issue, now)]
    if not settings.sync:
        return [(issue, "") for issue in ready]
    held = [(issue, nodes.lease(board, settings, issue.id, issue.generation, now)) for issue in ready]
    return [(issue, lease.id) for issue, lease in held if lease]


def _is_ours(board: Board, issue: issues.Issue, settings: RunStarted) -> bool:
    """Whether this run does such things: one without agents only lands what is there."""
    return settings.max_agents > 0 or bool(_begun(board, issue, settings)[0])


def _places(board: Board, settings: RunStarted) -> tuple[int, set[str]]:
    """How many agents may begin something, and the names of those at work. A run without agents has one all the same
    where conflicts are to be resolved, and leaves those alone that it finds at work.
    """
    everyone = board[agents.State].ongoing()
    busy = [attempt for attempt in everyone if attempt.active or _runs(attempt)]
    taken = {attempt.agent for attempt in busy}
    most = settings.max_agents or int(settings.merge.on_conflict == "resolve")
    if sum(attempt.testing for attempt in everyone) >= most:
        return 0, taken  # the tests do not keep up: more work would only pile up before them
    own = [attempt for attempt in busy if settings.max_agents or (attempt.assigned and attempt.assigned.resolve)]
    return most - len(own), taken


def _runs(attempt: agents.Attempt) -> bool:
    """Whether its agent is still there, wanted or not."""
    return any(session.kind == "agent" and not session.over for session in attempt.sessions.values())


def _agent(issue: issues.Issue, taken: set[str], settings: RunStarted) -> str:
    """The free name with the smallest number, or the one a person chose; empty if that one is at work.

    Of a shared log it says the node too: letters go by names, and those of two agents must not be one's.
    """
    if chosen := _chosen(issue):
        return "" if chosen in taken else chosen
    name = _free(issue, taken, settings)
    number = int(name.split("-")[1])
    within = not settings.max_agents or number <= settings.max_agents
    return name if within else ""  # the others have used up their budgets


def _free(issue: issues.Issue, taken: set[str], settings: RunStarted) -> str:
    role = issue.opened.role if issue.opened else "builder"
    where = f"-{settings.node[1:7]}" if settings.sync else ""
    number = 1
    while f"{role}-{number}{where}" in taken:
        number += 1
    return f"{role}-{number}{where}"


def _chosen(issue: issues.Issue) -> str:
    """The agent that a person wants to do it; empty if anybody may."""
    chosen = fact(issue.latest, IssueDelegated)
    return chosen.agent if chosen else ""


def _assignment(board: Board, issue: issues.Issue, agent: str, settings: RunStarted, lease: str, way: Way) -> Decide:
    opened = issue.opened
    work, resolve = _begun(board, issue, settings)
    above = board[leases.State].takeovers(issue.id) * nodes.TURN
    assigned = IssueAssigned(
        attempt=max(max(issue.attempts, default=0), above) + 1,
        generation=issue.generation,
        agent=agent,
        role=opened.role if opened else "builder",
        runtime=way.runtime,
        model=way.model,
        node=settings.node,
        lease=lease,
        work=work,
        resolve=resolve,
    )
    return Decide(issue.id, assigned, issue.generation)


def _begun(board: Board, issue: issues.Issue, settings: RunStarted) -> tuple[str, bool]:
    """The commit that the next attempt begins with, if there is one, and whether it is to be made to merge: what a
    person gave with the issue, as long as nothing was made of it; else what did not merge, if that is to be resolved.
    """
    tries = issue.tries
    if not tries:
        return issue.work, False
    last = board[agents.State].attempts[issue.id, tries[-1].number]
    secured = fact(last.latest, WorkSecured)
    if settings.merge.on_conflict == "resolve" and secured and MergeConflicted in last.latest:
        return secured.commit, True
    return "", False


def _close(board: Board) -> list[Command]:
    """An attempt that landed, or answered, closes its issue, unless a person has closed, held or taken it."""
    found: list[Command] = []
    for issue in _by_id(board):
        current = issue.current
        if issue.mark or current is None:
            continue
        attempt = board[agents.State].attempts[issue.id, current.number]
        landed, answered = attempt.latest.get(MergeLanded), attempt.latest.get(FindingsReported)
        if landed:
            closed = IssueClosed(generation=issue.generation, reason="landed", commit=landed.data.commit)
            found.append(Decide(issue.id, closed, landed.id))
        elif answered:
            found.append(Decide(issue.id, IssueClosed(generation=issue.generation, reason="answered"), answered.id))
    return found


def _cancel(board: Board) -> list[Command]:
    """An attempt is called off when its issue was closed, held, taken, reopened, or taken over by another node."""
    found: list[Command] = []
    begun = [attempt for attempt in board[agents.State].ongoing() if not attempt.ended]
    for attempt in [*begun, *_left(board)]:
        issue = board[issues.State].all[attempt.issue]
        why, cause = _unwanted(board, issue, attempt.assigned) if attempt.assigned else ("", "")
        if why:
            found.append(Decide(issue.id, AttemptCancelled(attempt=attempt.number, reason=why), cause))
    return found


def _left(board: Board) -> Iterator[agents.Attempt]:
    """What other nodes began, and did not bring to an end, on issues that we took over."""
    settings = board[runs.State].settings
    if not board[leases.State].of:
        return  # with no lease on anything, nothing was taken over: so it is wherever the log is not shared
    for issue in _by_id(board) if settings else ():
        begun = issue.current.assigned if issue.current and not issue.mark else None
        if settings and begun and not nodes.is_ours(settings, begun.node):
            attempt = board[agents.State].attempts[issue.id, begun.attempt]
            lease = nodes.taken_over(board, issue.id, begun)
            if lease and lease.data.node == settings.node and attempt.stage not in ("landed", "reverted", "answered"):
                yield attempt


def _unwanted(board: Board, issue: issues.Issue, assigned: IssueAssigned) -> tuple[str, str]:
    """Why an attempt need not go on, and the event that made it so; empty if it is still wanted."""
    if assigned.generation != issue.generation:
        return "the issue was reopened meanwhile", happened(issue.latest, IssueReopened)
    words: dict[type[Fact], str] = {IssueClosed: "closed", IssueHeld: "held", IssueTaken: "taken by a person"}
    if issue.mark:
        return f"the issue was {words[type(issue.mark.data)]} meanwhile", issue.mark.id
    lease = nodes.taken_over(board, issue.id, assigned)
    return (f"its lease ran out and was taken over by {lease.data.node}", lease.id) if lease else ("", "")


def _by_id(board: Board) -> list[issues.Issue]:
    return sorted(board[issues.State].live.values(), key=lambda issue: issue.id)


def _mail(board: Board) -> list[Command]:
    """What an agent cannot go on without is passed to the person; the rest is taken note of."""
    settings = board[runs.State].settings
    waiting = [letter for letter in letters.waiting_for(board, NAME) if nodes.sees_to(settings, letter.id)]
    return [command for letter in waiting for command in _answer(letter)]


def _answer(letter: mail.Letter) -> list[Command]:
    """A letter is taken note of, and one whose sender is blocked or asks for help is passed to the person."""
    noted: Command = Decide(letter.id, MailAcked(letter=letter.id, reader=NAME), letter.id)
    sent = letter.sent.data if letter.sent else None
    if letter.sent is None or sent is None or sent.kind not in ("blocked", "help_request"):
        return [noted]
    sender = addresses.address_of(letter.sent.source)
    word = "is blocked" if sent.kind == "blocked" else "asks for help"
    body = (
        f"{sender} {word}:\n\n{sent.body}\n\nAnswer: swarm mail send --to {sender} --reply-to {letter.id} --body TEXT"
    )
    passed = MailSent(to=[addresses.HUMAN], body=body, kind=sent.kind, priority=1, issue=sent.issue, reply_to=letter.id)
    return [Decide(sent.issue, passed, letter.id), noted]  # a kill may cut it: rather twice than never


# --- with other clones ----------------------------------------------------------------------------


def _share(board: Board, now: float) -> list[Command]:
    """Always, where the log is shared: a lease on what is at work here, and on as many more as there are places."""
    run = board[runs.State].current
    if run is None or run.started is None or not run.started.sync:
        return []
    begun = [attempt for attempt in board[agents.State].ongoing() if attempt.assigned and not attempt.ended]
    wanted = sorted((attempt.issue, attempt.assigned.generation) for attempt in begun if attempt.assigned)
    free, _ = _places(board, run.started)
    if not (run.stopping or run.held) and free > 0:
        accounts = book(board, now)
        ready = (issue for issue in _open(board, run.started, now) if not accounts.waits(issue, run.started))
        more = [(issue.id, issue.generation) for issue in ready]
        wanted += [wish for wish in more if wish not in wanted][:free]
    return [Share(tuple(wanted))]


def _open(board: Board, settings: RunStarted, now: float) -> Iterator[issues.Issue]:
    """What we may begin once we have a lease: what is ready, and what another node began and let run out."""
    state = board[leases.State]
    for issue in board[issues.State].ready():
        held = state.holder(issue.id, issue.generation, now)
        if held is None or held.data.node == settings.node:
            yield issue
    for issue in _by_id(board):
        begun = issue.current.assigned if issue.current and not issue.mark else None
        theirs = begun and begun.lease and not nodes.is_ours(settings, begun.node)
        if theirs and not state.holder(issue.id, issue.generation, now):
            yield issue


def at_work_elsewhere(board: Board, now: float) -> bool:
    """Whether other nodes hold leases on what is to be done: it may yet be ours to do."""
    settings, state = board[runs.State].settings, board[leases.State]
    if settings is None or not settings.sync:
        return False
    todo = [issue for issue in _by_id(board) if issue.status in (issues.OPEN, issues.IN_PROGRESS)]
    holders = [state.holder(issue.id, issue.generation, now) for issue in todo]
    return any(held.data.node != settings.node for held in holders if held)


def leaving(board: Board, now: float) -> list[Said]:
    """The leases that a run gives up when it ends: those on what was not begun."""
    settings = board[runs.State].settings
    if settings is None or not settings.sync:
        return []
    found = []
    for name, lease in board[leases.State].held(settings.node):
        issue = board[issues.State].live.get(name)
        if issue and issue.current is None and lease.data.generation == issue.generation and now < lease.data.until:
            found.append(Said(name, LeaseReleased(lease=lease.id), lease.id))
    return found


def refused(_command: Command, error: SwarmError) -> list[Said]:
    """What it asks of the world is told by the world itself."""
    raise error
