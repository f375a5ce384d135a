"""Issues, agents, merges, costs and the last mail, on one screen."""

import os
import shutil
import sys
from typing import Any

import click

from ..actors import budgets
from ..eventlog.telling import one_line
from ..mailbox import screen, views
from ..projections import Board, runs
from ..world import clock, running
from ..world.liveness import conditions
from . import Home, as_json, emit, say

GROUP = "Watch"
LAST_LETTERS = 10


@click.command()
@as_json
def command(json_: bool) -> None:
    """Issues, agents, merges, costs and the last mail, on one screen.

    What needs you comes first: blocked issues with the reason, landings that git holds back with the command. An agent
    whose process is dead is shown as gone, whether or not anybody noticed yet.
    """
    home = Home()
    board = home.board()
    machine = conditions(home.place.runs, board)
    holder = running.holder(os.path.join(home.place.home, "run.lock"))
    if json_:
        emit(_document(board, machine, holder is not None))
    else:
        _print(board, holder, machine)
    home.save()


def _print(board: Board, holder: running.Holder | None, machine: dict[str, str]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
    for line in screen.screen(board, _head(board, holder), machine, width, clock.now()):
        say(line)
    for budget in budgets.book(board, clock.now()).lines():
        if budget.spent >= budgets.WARN * budget.limit:
            say(f"budget  {one_line(budget.subject, 60)}: {budget.words}")


def _document(board: Board, machine: dict[str, str], runs_now: bool) -> dict[str, Any]:
    held = board[runs.State].held
    return {
        "issues": views.counts_view(board),
        "agents": views.agents_view(board, machine, clock.now()),
        "merges": views.merges_view(board, recent=True),
        "flakes": views.flakes_view(board),
        "held": held.reason if held else "",
        "costs": views.costs_view(board),
        "mail": views.mail_view(board, LAST_LETTERS),
        "running": runs_now,
    }


def _head(board: Board, holder: running.Holder | None) -> str:
    if holder:
        return f"swarm   {holder.run} runs (pid {holder.pid}, since {holder.since})"
    last = board[runs.State].current
    if last is None:
        return "swarm   has not run here yet: swarm start"
    how = one_line(last.stopped.reason, 60) if last.stopped else "it was killed, and `swarm start` goes on there"
    return f"swarm   does not run; the last was {one_line(last.id, 40)}: {how}"
