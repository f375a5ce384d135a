"""Which sessions really run. Rule: the processes themselves are asked, never an event about them.

An event may be old, and whoever would correct it may not run: a dead agent must not be shown at work for an hour.
"""

import os

from ..projections import Board, agents
from . import Identity
from .processes import alive
from .runfolder import NOBODY, RunFolder

GONE, ENDING = "gone", "ending"


def conditions(runs: str, board: Board) -> dict[str, str]:
    """The sessions that the log has running and that do not run: session -> `gone`, or `ending` (its program is dead
    and its host writes down how it ended). `runs` is the folder of run folders.
    """
    found = {session.id: _condition(runs, session) for session in board[agents.State].sessions()}
    return {session: word for session, word in found.items() if word}


def processes_of(runs: str, session: agents.Session) -> tuple[Identity | None, Identity | None]:
    """A session's program and its host; None where no host has taken it or the program has not begun.

    In a copied clone the log tells of processes that are the original's: there the host is NOBODY.
    """
    host = RunFolder(os.path.join(runs, os.path.basename(session.id))).owner()
    if session.started and host != NOBODY:
        said = session.started
        program = Identity(said.boot_id, said.pid, said.start_ticks)
        return program, Identity(said.boot_id, said.host_pid, said.host_ticks)
    return None, host


def _condition(runs: str, session: agents.Session) -> str:
    program, host = processes_of(runs, session)
    if host is None or (program and alive(program)):
        return ""
    if not alive(host):
        return GONE
    return ENDING if program else ""
