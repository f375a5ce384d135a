"""Budgets: how much of each is used; allow more."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import BudgetRaised, IssueHeld, IssueReopened
from ..eventlog.fact import Fact
from ..eventlog.files import Draft
from ..eventlog.telling import amount
from ..projections import Board, issues, runs
from ..world import running
from . import Home, as_json, emit, say, table, whoami

if TYPE_CHECKING:
    from ..actors.budgets import Book, Line

GROUP = "Watch"
LOOKS_AT = ("budgets", "costs", "issues", "runs")
EACH = ("issue", "agent", "role", "model")


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def command(context: click.Context, json_: bool) -> int | None:
    """Budgets: how much of each is used; exit 1 if one is used up.

    They stand in swarm.toml ([[budgets]]); SWARM_BUDGET_MAX is one in dollars for a run, and SWARM_CURRENT_SPEND what
    was spent on that besides the swarm. At 80 % a person is told; at 100 % nothing more is begun on that account, and
    what runs on it is ended, its work secured.
    """
    if context.invoked_subcommand:
        return None
    home = Home()
    lines = _book(home, home.board(LOOKS_AT)).lines()
    if json_:
        emit([_row(line) for line in lines])
    elif lines:
        table([_cells(line) for line in lines], ("budget", "spent", "limit", "used", ""))
    else:
        say("there is no budget: see [[budgets]] in swarm.toml, or set SWARM_BUDGET_MAX")
    home.save()
    return 1 if any(line.over for line in lines) else 0


def _row(line: "Line") -> dict[str, object]:
    return {
        "budget": line.subject,
        "unit": line.unit,
        "spent": round(line.spent, 6),
        "limit": line.limit,
        "percent": _percent(line),
        "over": line.over,
        "unpriced": line.unpriced,
    }


def _cells(line: "Line") -> tuple[str, ...]:
    least = "≥ " if line.unpriced else ""
    name = f"each {line.subject}" if line.subject in EACH else line.subject
    spent, limit = amount(line.unit, line.spent), amount(line.unit, line.limit)
    return name, least + spent, limit, f"{least}{_percent(line)} %", "over" if line.over else ""


def _percent(line: "Line") -> int:
    return int(100 * line.spent / line.limit)


def _book(home: Home, board: Board) -> "Book":
    """The budgets in force: of the run that runs, else those that the next one would have."""
    from ..actors import budgets
    from ..world import clock

    run, env = board[runs.State].current, os.environ
    if run and run.started and _runs(home):
        limits = run.started.budgets
    else:
        from ..world.settings import load

        limits = budgets.stated(load(home.place.root).budgets)
    ours = bool(env.get("SWARM_SESSION"))  # then both variables are the swarm's own words
    outside = 0.0 if ours else budgets.given(env, budgets.SPENT)
    limits = limits if ours else budgets.limits(limits, env)
    return budgets.Book(board, limits, run.id if run else "", clock.now(), outside)


def _runs(home: Home) -> bool:
    return running.holder(os.path.join(home.place.home, "run.lock")) is not None


# --- allow more -----------------------------------------------------------------------------------


@command.command(name="raise")
@click.argument("scope")
@click.option("--usd", type=click.FloatRange(0, 1e9, min_open=True), help="So many dollars more.")
@click.option("--tokens", type=click.IntRange(1, 10**15), help="So many tokens more.")
def raise_(scope: str, usd: float | None, tokens: int | None) -> None:
    """Allow more than the settings say.

    SCOPE is run (the one that runs), day (today), or one by its name: issue:ID, agent:builder-1, role:scout,
    model:NAME, day:2026-11-21. What was stopped because of that goes on by itself.
    """
    if (usd is None) == (tokens is None) or usd != usd:  # "nan" is a number to click
        raise UsageError("say how much more, in dollars or in tokens", f"swarm budget raise {scope} --usd 5")
    unit, more = ("usd", float(usd)) if usd is not None else ("tokens", float(tokens or 0))
    home, said = Home(), ""
    source = whoami(home.place)
    if source != "human":
        raise UsageError("an agent does not raise a budget", "ask the person: swarm mail send --to human …")

    def ask(board: Board) -> Sequence[Draft]:
        nonlocal said
        known = _book(home, board)
        subject = _subject(home, board, scope)
        limit = known.limit(subject, unit)
        if not limit:
            raise UsageError(f"{subject} has no limit in {'dollars' if unit == 'usd' else unit}", "swarm budget")
        said = f"{subject} may use {amount(unit, limit + more)} now"
        facts: list[tuple[str, Fact]] = [(subject, BudgetRaised(unit=unit, more=more)), *_freed(board, subject)]
        return [Draft(fact, source, about) for about, fact in facts]

    home.decide(LOOKS_AT, ask)
    say(said)


def _subject(home: Home, board: Board, scope: str) -> str:
    """What exactly is limited; raises UsageError where that is not one thing."""
    from ..eventlog.ids import day
    from ..world import clock

    axis, _, value = scope.partition(":")
    if scope == "run":
        run = board[runs.State].current
        if run is None or not _runs(home):
            raise UsageError(
                "no run is at work, and the next has a budget of its own", "mend [[budgets]] in swarm.toml"
            )
        return f"run:{run.id}"
    if scope == "day":
        return f"day:{day(clock.now())}"
    if scope in EACH:
        raise UsageError(f"say which {scope}", f"swarm budget raise {scope}:NAME …")
    if axis not in (*EACH, "day", "run") or not value:
        raise UsageError(f"there is no budget {scope!r}", "see them with: swarm budget")
    return f"issue:{issues.find(board[issues.State], value).id}" if axis == "issue" else scope


def _freed(board: Board, subject: str) -> list[tuple[str, Fact]]:
    """The issue goes on that was held because of its own budget."""
    from ..actors.budgets import HELD

    axis, _, value = subject.partition(":")
    issue = board[issues.State].find(value) if axis == "issue" else None
    mark = issue.mark.data if issue and issue.mark else None
    held = isinstance(mark, IssueHeld) and mark.reason.startswith(HELD)
    return [(value, IssueReopened(reason="its budget was raised"))] if held else []
