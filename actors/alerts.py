"""Alerts: what somebody outside is to hear of is raised once, and given to every channel until it takes it. The
Watchdog does it.

Rule: nobody waits for it. One alert is sent at a time; what is not taken is tried again, later and later, and each
outcome is a fact. A channel may get an alert twice (the swarm was killed before it could say that it was taken), never
not at all because of that.
"""

from collections.abc import Iterator

from ..eventlog.events import AlertDelivered, AlertFailed, AlertRaised, IssueHeld, RunStarted
from ..eventlog.fact import Event
from ..eventlog.ids import time_of
from ..eventlog.telling import sentence
from ..eventlog.text import head
from ..projections import Board, alerts, issues, runs
from . import nodes, retries
from .command import Command, Decide, Said
from .hands import Hands

LONGEST = 300.0
"""Seconds between two tries, at most."""
TEXT = 2000
"""Bytes of an alert's text, at most."""


class SendAlert(Command, frozen=True):
    """Give the alert to that channel, for the `tries`-th time."""

    alert: str
    channel: str
    kind: str
    text: str
    about: str
    tries: int

    @property
    def key(self) -> str:
        """All alerts are sent by one thread."""
        return "alerts"


def due(board: Board, now: float) -> list[Command]:
    """What is to be raised, and what is to be sent now; nothing where there is nobody to tell."""
    settings = board[runs.State].settings
    if settings is None or not settings.alerts:
        return []
    return [*_raise(board, settings), *_send(board, settings, now)]


def _raise(board: Board, settings: RunStarted) -> Iterator[Command]:
    """One alert about each event that calls for one."""
    for event in board[alerts.State].pending():
        if isinstance(event.data, IssueHeld) and _is_wished(board, event, settings):
            continue
        text = head(f"{event.subject}: {sentence(event)}", TEXT)
        yield Decide(event.subject, AlertRaised(alerts.kind_of(event), text, about=event.id), event.id)


def _is_wished(board: Board, event: Event[IssueHeld], settings: RunStarted) -> bool:
    """Whether no retry was used up: its conflict has an alert of its own, or a person dropped it."""
    issue = board[issues.State].all.get(event.subject)
    attempt = issue.attempts.get(event.data.attempt) if issue else None
    return attempt is not None and retries.is_wished(attempt, settings)


def _send(board: Board, settings: RunStarted, now: float) -> Iterator[Command]:
    """What a channel has not taken yet, once the pause after its last try is over."""
    for id_, alert, channels in board[alerts.State].undelivered():
        if alert.raised is None or not nodes.sees_to(settings, id_):
            continue
        raised = alert.raised.data
        for channel in channels:
            if channel in settings.alerts and now >= _after(alert, channel):
                tries = alert.tries(channel) + 1
                yield SendAlert(id_, channel, raised.kind, raised.text, raised.about, tries)


def _after(alert: alerts.Alert, channel: str) -> float:
    """When the channel is to be tried (again): after 1, 2, 4, … seconds."""
    failed = alert.failed.get(channel)
    return time_of(failed.id) + min(2.0 ** (failed.data.tries - 1), LONGEST) if failed else 0.0


def perform(command: SendAlert, hands: Hands) -> list[Said]:
    """Send it, and say what came of it."""
    if hands.alerts is None:
        return []
    error = hands.alerts.send(command.channel, command.kind, command.text, command.about)
    if error:
        failed = AlertFailed(channel=command.channel, error=head(error, TEXT), tries=command.tries)
        return [Said(command.alert, failed, command.alert)]
    return [Said(command.alert, AlertDelivered(channel=command.channel), command.alert)]
