"""What is done about an agent that is silent, or waits for too long: it is asked, then interrupted, then ended.

Rule: life is what the agent itself printed, did or wrote. Nothing that the swarm does to it or says about it counts,
and each sign of life begins the count anew. Waiting is not silence: who said that it waits for a person, or is slowed
down by its provider, is left alone, with a clock of its own. All of this costs no tokens: no model is asked.
"""

from ..eventlog.events import AgentInterrupted, AgentNudged, MailSent, Patience, SessionKillRequested, SessionProgressed
from ..eventlog.ids import time_of
from ..projections import Board, agents, happened, runs
from .command import Command, Decide
from .hands import Hands

ONCE = 60.0
"""Seconds within which an interrupt that was decided is sent."""


class Interrupt(Command, frozen=True):
    """Send an agent's program what Ctrl-C sends, because it was decided so (`cause`)."""

    session: str
    cause: str

    def patience(self, _hands: Hands) -> float:
        """Once is enough: a second one makes many programs drop everything."""
        return ONCE


def due(board: Board, now: float) -> list[Command]:
    """The next step with each agent of ours that runs and gives no sign of life."""
    settings, state = board[runs.State].settings, board[agents.State]
    found: list[Command] = []
    for attempt in state.ongoing() if settings else ():
        session = attempt.sessions.get(attempt.name)
        if settings is None or session is None or not session.started:
            continue
        if session.over or session.killed or attempt.ended:
            continue
        step = _parked if session.state else _silent
        found += step(state, attempt, session, settings.patience, now)
    return found


def _parked(
    _state: agents.State, attempt: agents.Attempt, session: agents.Session, patience: Patience, now: float
) -> list[Command]:
    """It waits, and says so: it may, up to a limit."""
    limited = session.state == "rate_limited"
    since = happened(session.latest, SessionProgressed)
    limit = patience.limited if limited else patience.waiting
    if not limit or now - time_of(since) < limit:
        return []
    what = "its provider slowed it down" if limited else "it waited for a person"
    return [_end(attempt, session, f"{what} for {words(now - time_of(since))}", since)]


def _silent(
    state: agents.State, attempt: agents.Attempt, session: agents.Session, patience: Patience, now: float
) -> list[Command]:
    """It is asked, interrupted, ended: each so long after what was done last. What has no time of its own is left
    out.
    """
    sign = state.alive(attempt)
    asked, interrupted = (happened(session.latest, kind) for kind in (AgentNudged, AgentInterrupted))
    last = max(sign, asked, interrupted)
    done = 0 if last == sign else 1 if last == asked else 2
    if last == interrupted and now - time_of(last) < ONCE:
        found: list[Command] = [Interrupt(session.id, last)]
    else:
        found = []
    steps = (patience.nudge, patience.interrupt, patience.kill)
    number = next((n for n in range(done, len(steps)) if steps[n]), len(steps))
    if number == len(steps) or now - time_of(last) < steps[number]:
        return found
    why = f"no sign of life for {words(now - time_of(sign))}"
    if number == 0:
        return [*_ask(attempt, session, why, last), *found]
    if number == 1:
        return [Decide(attempt.issue, AgentInterrupted(session.id, attempt.number, why), last), *found]
    return [_end(attempt, session, _told(why, asked > sign, interrupted > sign), last)]


def _ask(attempt: agents.Attempt, session: agents.Session, why: str, cause: str) -> list[Command]:
    """The letter first: a kill may cut what is written, and rather twice than never."""
    body = (
        f"There was {why} of you. If you are at work, print something or write a letter of type progress. If you "
        "cannot go on, say what you wait for, and stop:\n"
        "swarm mail send --to coordinator --type blocked --body TEXT"
    )
    letter = MailSent(to=[f"agent-{attempt.agent}"], body=body, kind="event", priority=2, issue=attempt.issue)
    nudged = AgentNudged(session.id, attempt.number, why)
    return [Decide(attempt.issue, letter, cause), Decide(attempt.issue, nudged, cause)]


def _end(attempt: agents.Attempt, session: agents.Session, why: str, cause: str) -> Decide:
    """Have it ended: the attempt has failed by that, and is tried again as others are."""
    return Decide(attempt.issue, SessionKillRequested(session.id, attempt.number, why, failure=True), cause)


def _told(why: str, asked: bool, interrupted: bool) -> str:
    """What was tried in vain."""
    tried = [word for word, done in (("asked", asked), ("interrupted", interrupted)) if done]
    return f"{why}, though it was {' and '.join(tried)}" if tried else why


def words(seconds: float) -> str:
    """`12 minutes`, `40 seconds`."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def perform(command: Interrupt, hands: Hands) -> None:
    """Do it."""
    hands.sessions.interrupt(command.session)
