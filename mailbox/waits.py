"""With what a ready issue is begun, and why it is not: the quota of a provider, too little of the machine, enough of
its role at work. Rule: who decides and who shows asks the same question, so what is shown is why nothing is decided.

The choices are the issue's own runtime and model, then the fallbacks of the settings, in order: the first whose
provider has quota. Of one whose quota should be back, one issue tries whether it is; the one that was refused least
often, so that nobody is kept waiting by an issue that is always refused.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from ..eventlog.events import IssueAssigned, RunStarted, SessionExited, SessionProgressed
from ..eventlog.fact import Event
from ..eventlog.ids import time_of
from ..projections import Board, admission, agents, fact, happened, issues, quotas, runs

MINUTE = 60.0
TRY = 900.0
"""Seconds for which one that tries a provider, and gets no answer, keeps others from trying it."""
GRACE = 600.0
"""Seconds for which a machine that is full is expected to be so no longer soon."""


class Way(msgspec.Struct, frozen=True):
    """What an attempt is made with. `probe`: it tries whether the provider answers again."""

    runtime: str
    model: str
    provider: str
    probe: bool = False


class Waits:
    """The answers for one board at one time (Unix seconds): what is begun in between must be told with `begun`. `ready`
    is what may be begun at all.
    """

    def __init__(self, board: Board, settings: RunStarted, now: float, ready: Sequence[issues.Issue]) -> None:
        self._board, self._settings, self._now, self._ready = board, settings, now, ready
        self._unsettled = {provider_of(one) for one, exited in refusals(board) if unsettled(board, one, exited)}
        self._testers: dict[str, str] = {}

    def why(self, issue: issues.Issue) -> str:
        """Why a ready issue is not begun now; empty if it may be, as soon as an agent is free."""
        if words := self.no_room(_role(issue)):
            return words
        return "" if self.way(issue) else self._no_quota(self._ways(issue)[0].provider)

    def soon(self, issue: issues.Issue) -> bool:
        """Whether it waits, and for something that comes by itself."""
        node, roles = self._settings.node, self._settings.admission.roles
        if self._closed():
            return self._now - time_of(self._board[admission.State].since(node)) < GRACE
        if self._full(_role(issue)):
            return roles[_role(issue)] > 0
        comes = any(self._is_refused(way.provider) for way in self._ways(issue))
        return self._paced() or (comes and self.way(issue) is None)

    def way(self, issue: issues.Issue) -> Way | None:
        """With what it may be begun; None if no provider of its choices has quota."""
        for way in self._ways(issue):
            known = self._board[quotas.State].find(way.provider)
            if self._is_refused(way.provider) or (known.probe and is_tried(self._board, known, self._now)):
                continue
            if not known.refusals and not known.probe:
                return way
            if self._tester(way.provider) == issue.id:
                return msgspec.structs.replace(way, probe=True)
        return None

    def no_room(self, role: str) -> str:
        """Why nothing of that role is begun here, whatever its provider; empty if it may be."""
        limits = self._settings.admission
        if words := self._closed() or self._full(role):
            return words
        return f"{limits.rate:g} starts a minute at most" if self._paced() else ""

    def begin(self, issue: issues.Issue) -> Way | None:
        """With what it may be begun now; None if it is to wait."""
        return None if self.no_room(_role(issue)) else self.way(issue)

    def begun(self, issue: issues.Issue) -> None:
        """It is."""
        self._busy[_role(issue)] += 1
        self._last = self._now

    # --- the machine, and the limits ---

    def _closed(self) -> str:
        """A closing counts only while something is still measured."""
        limits = self._settings.admission
        measured = limits.disk or limits.memory or limits.load
        return self._board[admission.State].closed(self._settings.node) if measured else ""

    def _full(self, role: str) -> str:
        most = self._settings.admission.roles.get(role)
        if most is None or self._busy[role] < most:
            return ""
        return f"{self._busy[role]} of role {role} at work, {most} at most"

    @cached_property
    def _busy(self) -> Counter[str]:
        """Role -> how many are at work."""
        ongoing = self._board[agents.State].ongoing()
        return Counter(one.assigned.role for one in ongoing if one.assigned and _at_work(one))

    def _paced(self) -> bool:
        """Whether it is too early for another start: they come one by one, evenly."""
        rate = self._settings.admission.rate
        return bool(rate) and self._now - self._last < MINUTE / rate

    @cached_property
    def _last(self) -> float:
        """When something was begun on this node last (Unix time; 0: never)."""
        node, given = self._settings.node, self._board[agents.State].given.values()
        newest = max((event.id for event in given if not node or event.data.node in ("", node)), default="")
        return time_of(newest) if newest else 0.0

    # --- providers ---

    def _ways(self, issue: issues.Issue) -> list[Way]:
        opened = issue.opened
        runtime = (opened.runtime if opened else "") or self._settings.runtime
        model = (opened.model if opened else "") or self._settings.model
        pairs = [(runtime, model)]
        for other in self._settings.fallback:  # another runtime may not know the issue's model
            same = other.runtime in ("", runtime)
            pairs.append((other.runtime or runtime, other.model or (model if same else "")))
        return [Way(*pair, quotas.provider(*pair)) for pair in dict.fromkeys(pairs)]

    def _is_refused(self, provider: str) -> bool:
        """Whether it is known to have no quota now."""
        return provider in self._unsettled or self._now < self._board[quotas.State].find(provider).until

    def _no_quota(self, provider: str) -> str:
        known = self._board[quotas.State].find(provider)
        if self._now < known.until:
            return f"no quota at {provider} until {quotas.clock(known.until, self._now)}"
        tries = f"; {known.probe.data.issue} tries" if known.probe else ""
        return f"no quota at {provider}, as far as is known{tries}"

    def _tester(self, provider: str) -> str:
        """The issue that may try it: of those that may begin and would use it, the least refused, then the first."""
        if provider not in self._testers:
            able = (issue for issue in self._ready if not self._full(_role(issue)))
            mine = [issue for issue in able if any(way.provider == provider for way in self._ways(issue))]
            least = min(mine, key=lambda issue: refused(self._board, issue), default=None)
            self._testers[provider] = least.id if least else ""
        return self._testers[provider]


def reasons(board: Board, some: Iterable[issues.Issue], now: float = 0.0) -> dict[str, str]:
    """Why those of the issues that are ready are not begun, in words, by id; those that only wait for an agent to be
    free are left out. `now`: Unix time; 0: that of the newest event.
    """
    settings = board[runs.State].settings
    ready = {issue.id: issue for issue in board[issues.State].ready()}
    if settings is None or not ready:
        return {}
    waits = Waits(board, settings, now or time_of(board.newest), [*ready.values()])
    found = {issue.id: waits.why(ready[issue.id]) for issue in some if issue.id in ready}
    return {id_: words for id_, words in found.items() if words}


def soon(board: Board, now: float) -> bool:
    """Whether something that is ready waits for what comes by itself."""
    settings = board[runs.State].settings
    ready = board[issues.State].ready()
    return settings is not None and any(map(Waits(board, settings, now, ready).soon, ready))


# --- what the board says of refusals --------------------------------------------------------------


def provider_of(attempt: agents.Attempt) -> str:
    """Whose quota the attempt uses."""
    return quotas.provider(attempt.assigned.runtime, attempt.assigned.model) if attempt.assigned else ""


def refusals(board: Board) -> Iterator[tuple[agents.Attempt, Event[SessionExited]]]:
    """The attempts that are not put away and whose provider refused, each with its end, oldest first."""
    for attempt in board[agents.State].ongoing():
        exited = _refusal(attempt)
        if exited:
            yield attempt, exited


def unsettled(board: Board, attempt: agents.Attempt, exited: Event[SessionExited]) -> bool:
    """Whether nothing was said of its provider since."""
    return board[quotas.State].find(provider_of(attempt)).newest < exited.id


def refused(board: Board, issue: issues.Issue) -> int:
    """How often the issue was refused for lack of quota since it was opened."""
    known = board[agents.State].of.get(issue.id, {})
    return sum(tried.number in known and _refusal(known[tried.number]) is not None for tried in issue.tries)


def trial(board: Board, known: quotas.Provider) -> agents.Attempt | None:
    """The attempt that tries the provider, if it was begun."""
    probe = known.probe
    if probe is None:
        return None
    tries = board[agents.State].of.get(probe.data.issue, {}).values()
    mine = [each for each in tries if happened(each.latest, IssueAssigned) > probe.id]
    return max((each for each in mine if provider_of(each) == known.name), key=lambda each: each.number, default=None)


def answered(attempt: agents.Attempt) -> bool:
    """Whether its provider did not refuse it: it has used a tool, or come to its own end."""
    session = attempt.sessions.get(attempt.name)
    if session is None:
        return False
    if session.exited:
        return not session.exited.quota and session.exited.ended_by not in ("killed", "missing")
    progress = fact(session.latest, SessionProgressed)
    return progress is not None and progress.tools > 0


def is_tried(board: Board, known: quotas.Provider, now: float) -> bool:
    """Whether an attempt is at it, and not for too long, or has got an answer that nobody has told yet."""
    attempt = trial(board, known)
    if attempt is None or known.probe is None:
        return False
    return answered(attempt) or (attempt.active and now - time_of(known.probe.id) < TRY)


def _refusal(attempt: agents.Attempt) -> Event[SessionExited] | None:
    session = attempt.sessions.get(attempt.name)
    exited = session.latest.get(SessionExited) if session else None
    return exited if exited and exited.data.quota > 0 else None


def _at_work(attempt: agents.Attempt) -> bool:
    """Whether it fills a place: its agent is there, wanted or not, or is to come."""
    session = attempt.sessions.get(attempt.name)
    return attempt.active or bool(session and not session.over)


def _role(issue: issues.Issue) -> str:
    return issue.opened.role if issue.opened else "builder"
