"""Budgets: what may still be spent, by whom. The Coordinator asks before it gives anything away; the Watchdog says when
a limit is near or reached, and ends what runs on its account.

Rule: what counts is what the log says was used and allowed, now; what was said about it (`budget.exceeded`) is for
people, and decides nothing. So a limit that is raised lets everything go on by itself.

A limit for `run`, `issue`, `agent`, `role`, `model` or `day` is one for each of them, unless there is another for that
one by its name. A run pays for the sessions that it began; agents, roles and models are counted over the whole log.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.events import (
    AttemptCancelled,
    BudgetExceeded,
    BudgetWarned,
    IssueAssigned,
    IssueHeld,
    Limit,
    RunStarted,
    SessionKillRequested,
)
from ..eventlog.ids import day
from ..eventlog.telling import amount
from ..projections import Board, agents, budgets, costs, issues, runs
from ..world.tables import BudgetSettings
from .command import Command, Decide, Said
from .hands import Hands

WARN = 0.8
"""The part of a limit at which a person is told."""
UNITS = ("usd", "tokens")
MAX, SPENT = "SWARM_BUDGET_MAX", "SWARM_CURRENT_SPEND"
FILE = ".swarm/costs/current_spend"
HELD = "over its budget: "
"""How the reason of a hold begins that a raised budget lifts."""


class NoteSpend(Command, frozen=True):
    """Write down what this run has spent so far, for programs that look at a file."""

    dollars: str

    @property
    def key(self) -> str:
        """There is one file."""
        return "spend"

    def patience(self, _hands: Hands) -> float:
        """It stands there; somebody may have removed it."""
        return 60.0


class Line(msgspec.Struct, frozen=True):
    """One budget: so much of its `limit` is `spent`; `unpriced`: at least so much. A `subject` without a colon has a
    limit for each of its kind, and the swarm has used nothing of any yet.
    """

    subject: str
    unit: str
    limit: float
    spent: float
    unpriced: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more may be spent."""
        return self.spent >= self.limit

    @property
    def words(self) -> str:
        """`at least $5.03 of $5.00 are used`"""
        least = "at least " if self.unpriced else ""
        return f"{least}{amount(self.unit, self.spent)} of {amount(self.unit, self.limit)} are used"


class Book:
    """The budgets as of now: one look, in which nothing is summed twice. `outside`: dollars that were spent on this run
    by others.
    """

    def __init__(self, board: Board, limits: list[Limit], run: str, now: float, outside: float = 0.0) -> None:
        self._board, self._limits, self._outside = board, limits, outside
        self._run, self._day = f"run:{run}" if run else "", f"day:{day(now)}"
        self._sums: dict[str, dict[str, costs.Total]] = {}
        self._lines: dict[str, list[Line]] = {}
        self._meant: dict[tuple[str, str], set[str]] = {}

    def limit(self, subject: str, unit: str) -> float:
        """The least limit there is for it, and what a person allowed on top; 0 if it is not limited."""
        axis = subject.partition(":")[0]
        for scope in (subject, axis):
            found = [amount for one in self._limits if one.scope == scope and (amount := getattr(one, unit)) > 0]
            if found:
                return float(min(found) + self._board[budgets.State].find(subject).more(unit))
        return 0.0

    def total(self, subject: str) -> costs.Total:
        """What was used of it."""
        axis, _, value = subject.partition(":")
        return self._by(axis).get(value) or costs.Total()

    def _by(self, axis: str) -> dict[str, costs.Total]:
        if axis not in self._sums:
            state = self._board[costs.State]
            for name in [one.scope[6:] for one in self._limits if one.scope.startswith("issue:")]:
                state.recall(name)  # it may rest
            self._sums[axis] = state.by_issue() if axis == "issue" else state.by(axis)
        return self._sums[axis]

    def of(self, subject: str) -> list[Line]:
        """The budgets of that subject, of which there may be one in dollars and one in tokens."""
        if not self._limits:
            return []
        if subject not in self._lines:
            self._lines[subject] = [line for unit in UNITS if (line := self._line(subject, unit))]
        return self._lines[subject]

    def _line(self, subject: str, unit: str) -> Line | None:
        limit = self.limit(subject, unit)
        if not limit:
            return None
        total = self.total(subject)
        outside = self._outside if subject == self._run else 0.0
        spent = total.cost + outside if unit == "usd" else float(total.tokens)
        return Line(subject, unit, limit, spent, unit == "usd" and total.unpriced > 0)

    def lines(self) -> list[Line]:
        """Every budget, in the order of the settings."""
        found: dict[tuple[str, str], Line] = {}
        for one in self._limits:
            for subject in self._subjects(one.scope) or [one.scope]:
                for line in self.of(subject) if ":" in subject else self._unused(one):
                    there = found.get((line.subject, line.unit))
                    if there is None or line.limit < there.limit:
                        found[line.subject, line.unit] = line
        return list(found.values())

    def _subjects(self, scope: str) -> list[str]:
        """What a limit is about, as of now: of issues, those that are not done."""
        if ":" in scope:
            return [scope]
        if scope in ("run", "day"):
            return [self._day if scope == "day" else self._run] if self._run or scope == "day" else []
        values = [value for value in self._by(scope) if value]
        live = self._board[issues.State].live
        return [f"{scope}:{value}" for value in values if scope != "issue" or value in live]

    def _unused(self, one: Limit) -> list[Line]:
        """What nothing was used of yet, by the swarm."""
        outside = {"usd": self._outside if one.scope == "run" else 0.0}
        limits = ((unit, float(getattr(one, unit))) for unit in UNITS)
        return [Line(one.scope, unit, limit, outside.get(unit, 0.0)) for unit, limit in limits if limit > 0]

    def over(self, subject: str) -> str:
        """Why nothing more may be spent on it; empty if something may."""
        return next((f"the budget {subject}: {line.words}" for line in self.of(subject) if line.over), "")

    def stopped(self, issue: str, given: IssueAssigned) -> str:
        """Why nothing may be begun so, and what runs so is to end; empty if it may go on."""
        subjects = [*filter(None, [self._run]), self._day, f"issue:{issue}", f"role:{given.role}"]
        subjects += [f"agent:{given.agent}"] if given.agent else []
        if any(one.scope.partition(":")[0] == "model" for one in self._limits):
            subjects += [f"model:{model}" for model in sorted(self._models(given.runtime, given.model))]
        return next(filter(None, map(self.over, subjects)), "")

    def _models(self, runtime: str, model: str) -> set[str]:
        """The models that this comes to: the one that is named, and what attempts that were begun alike have used."""
        if not self._meant:
            for way in self._by(costs.WAY):
                begun, asked, used = way.split("\t", 2)
                self._meant.setdefault((begun, asked), set()).add(used)
        return (self._meant.get((runtime, model), set()) | {model}) - {""}

    def waits(self, issue: issues.Issue, settings: RunStarted, agent: str = "") -> str:
        """Why an open issue is not given to that agent, or to any, if a budget is the reason; empty if none is."""
        if not self._limits:
            return ""
        opened = issue.opened
        role, runtime = (opened.role, opened.runtime or settings.runtime) if opened else ("", "")
        model = (opened.model if opened else "") or settings.model
        return self.stopped(issue.id, IssueAssigned(0, issue.generation, agent, role, runtime, model))

    def spent_agents(self) -> set[str]:
        """The agents that have used up their budgets."""
        scopes = {one.scope for one in self._limits if one.scope.partition(":")[0] == "agent"}
        subjects = {subject for scope in scopes for subject in self._subjects(scope)}
        return {subject.partition(":")[2] for subject in subjects if self.over(subject)}


def book(board: Board, now: float) -> Book:
    """The budgets of the run in force."""
    run = board[runs.State].current
    settings = run.started if run else None
    return Book(board, settings.budgets if settings else [], run.id if run else "", now)


# --- what is to be done ---------------------------------------------------------------------------


def due(board: Board, now: float) -> list[Command]:
    """Limits that are near or reached, what is to end because of them, and the file that says what was spent."""
    settings = board[runs.State].settings
    if settings is None:
        return []
    found: list[Command] = []
    if settings.budgets:
        known = book(board, now)
        found = [*_tell(board, known), *_hold(board, known), *_end(board, known)]
    return [*found, *_note(board, settings)]


def _tell(board: Board, known: Book) -> Iterator[Command]:
    """Once for each limit that is near, and once when it is reached."""
    for line in known.lines():
        kind = BudgetExceeded if line.over else BudgetWarned
        if line.spent < WARN * line.limit:
            continue
        if not board[budgets.State].find(line.subject).was_said(kind, line.unit, line.limit):
            yield Decide(line.subject, kind(unit=line.unit, limit=line.limit, spent=line.spent))


def _hold(board: Board, known: Book) -> Iterator[Command]:
    """An issue that has used up its own budget needs a person, but not while its work only has to be tested and to
    land.
    """
    for name, issue in sorted(board[issues.State].live.items()):
        why = "" if issue.mark else known.over(f"issue:{name}")
        if why and not _is_done(board, issue):
            yield Decide(name, IssueHeld(generation=issue.generation, reason=HELD + why), issue.generation)


def _end(board: Board, known: Book) -> Iterator[Command]:
    """Agents at work on an account that is used up are ended, and what was given to one is called off before it
    begins. What needs no agent costs nothing.
    """
    for attempt in board[agents.State].ongoing():
        if attempt.assigned is None or not attempt.active or _is_given(attempt.assigned):
            continue
        why = known.stopped(attempt.issue, attempt.assigned)
        session = attempt.sessions.get(attempt.name)
        if why and session is None:
            yield Decide(attempt.issue, AttemptCancelled(attempt=attempt.number, reason=why))
        elif why and session and not session.killed:
            wish = SessionKillRequested(session=session.id, attempt=attempt.number, reason=why)
            yield Decide(attempt.issue, wish)


def _is_done(board: Board, issue: issues.Issue) -> bool:
    """Whether no agent is needed any more, as far as is known."""
    number = issue.current.number if issue.current else 0
    attempt = board[agents.State].attempts.get((issue.id, number))
    if attempt is None or attempt.assigned is None:
        return bool(issue.work)
    return not attempt.ended and (not attempt.active or _is_given(attempt.assigned))


def _is_given(assigned: IssueAssigned) -> bool:
    """Whether the work is there already."""
    return bool(assigned.work) and not assigned.resolve


def _note(board: Board, settings: RunStarted) -> Iterator[Command]:
    """Where money is spent, or limited, the file says how much."""
    run, state = board[runs.State].current, board[costs.State]
    if run and (settings.budgets or state.sums or any(account.reports for account in state.accounts.values())):
        yield NoteSpend(dollars(state.one("run", run.id)))


def perform(command: NoteSpend, hands: Hands) -> list[Said]:
    """Write it; there is nothing to say of that."""
    hands.write(f"{hands.root}/{FILE}", f"{command.dollars}\n")
    return []


# --- with programs around the swarm ---------------------------------------------------------------


def dollars(total: costs.Total) -> str:
    """An amount as programs read it."""
    return f"{total.cost:.6f}"


def environment(board: Board) -> dict[str, str]:
    """What a session is told of the run's budget, if there is one in dollars."""
    run = board[runs.State].current
    known = book(board, 0.0)
    limit = known.limit(f"run:{run.id}", "usd") if run else 0.0
    return {MAX: f"{limit:.6f}", SPENT: dollars(known.total(f"run:{run.id}"))} if run and limit else {}


def given(env: Mapping[str, str], name: str) -> float:
    """The dollars that a variable names, 0 if it is not set; raises UsageError if it is no amount."""
    text = env.get(name, "").strip()
    try:
        found = float(text or 0)
    except ValueError:
        found = -1.0
    if not isfinite(found) or found < 0:
        raise UsageError(f"{name} is no amount in dollars: {text!r}", f"export {name}=20")
    return found


def stated(settings: Iterable[BudgetSettings]) -> list[Limit]:
    """The budgets of the settings, as events have them."""
    return [Limit(one.scope, one.usd, one.tokens) for one in settings]


def limits(settings: list[Limit], env: Mapping[str, str]) -> list[Limit]:
    """The limits of the settings, and of the environment's for a run; raises UsageError if that is no amount."""
    most = given(env, MAX)
    return [*settings, Limit("run", usd=most)] if most and Limit("run", usd=most) not in settings else settings
