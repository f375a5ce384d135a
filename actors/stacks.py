"""What is known of a stacked batch: whether its gates passed on the exact commit that would land, or which is to be run
next, in which session.

Rule: a tree is red for what comes from the queue, and for a single branch, only once it failed twice; of a part of a
batch that failed once is enough to look closer. What is known of a tree from the batch that it is a part of is not
tested again, but nothing is green that its own gates have not passed. Where a gate cannot judge the tree as often as
that, it is run on its base alone (a control). If that can be judged, what comes from the queue, and a single branch, is
tried once more, for what kept the gate from judging may have ended meanwhile; else the tree is as red as if it had
failed.
"""

from collections.abc import Sequence
from itertools import takewhile

import msgspec

from ..eventlog.events import (
    BatchTested,
    Gate,
    GateControlled,
    RunStarted,
    SessionExited,
    SessionLost,
    ValidationFinished,
)
from ..eventlog.fact import Event
from ..projections import Board, agents, batches, happened, runs
from . import gates

GREEN, RED, UNKNOWN = "green", "red", "unknown"
LOST = 3
"""So many lost sessions of one command, one after the other, are its own doing: it takes its host down with it. Fewer
are begun anew, for a machine that went down has lost them all.
"""


class Tree(msgspec.Struct, frozen=True):
    """What a batch is stacked as: `commit`, with this tree, on `base`."""

    base: str
    commit: str
    tree: str


class Outlook(msgspec.Struct, frozen=True):
    """GREEN, RED, or UNKNOWN: then `gate` is to be run, for the `run`-th time (None: there is none, which is to be
    said). `why` is the verdict that made it red, or the last one; `failed`: it failed before, and passes now perhaps;
    `control`: the gate cannot judge it, and is to be run on its base first.
    """

    word: str
    gate: Gate | None = None
    run: int = 1
    why: Event[BatchTested] | None = None
    failed: bool = False
    control: bool = False


def outlook(board: Board, settings: RunStarted, batch: batches.Batch) -> Outlook:
    """What is known of a stacked batch."""
    own, lineage = batch.tests, board[batches.State].lineage(batch)
    tree = batch.stacked.tree if batch.stacked else ""
    last = own[-1] if own else None
    wanted = gates.chosen(settings, "batch")
    if not wanted:
        none = any(test.data.verdict == gates.NONE for test in own)
        return Outlook(GREEN if none else UNKNOWN, why=last)
    left = [gate for gate in wanted if gates.PASSED not in _verdicts(own, gate)]
    needed = 1 if batch.formed and batch.formed.of and len(batch.members) > 1 else 2
    known = {gate: [red for one in lineage for red in _reds(one, tree, gate)] for gate in left}
    for gate, reds in known.items():
        if len(reds) >= needed:
            return Outlook(RED, gate, why=max(reds, key=lambda test: test.id))
    if not left:
        return Outlook(GREEN, why=last)
    unable, control, since = _unable(batch, left[0])
    run = board[runs.State].current
    judges = control is not None and control.verdict != gates.BROKEN
    if judges and run and since >= needed - 1 and unable[since].id > run.began:
        return Outlook(RED, left[0], why=unable[0])
    ran = [word for word in _verdicts(own, left[0]) if word != gates.BROKEN]
    missing = since >= needed
    return Outlook(UNKNOWN, left[0], len(ran) + 1, last, failed=bool(known[left[0]]), control=missing)


def was_green(board: Board, batch: batches.Batch) -> bool:
    """Whether an earlier run would have landed it, by the tests of then: so it may have, and was killed before it said
    so.
    """
    tests, now = batch.tests, board[runs.State].current
    then = board[runs.State].runs.get(tests[-1].correlationid) if tests else None
    return bool(then and then.started and then is not now and outlook(board, then.started, batch).word == GREEN)


def _unable(batch: batches.Batch, gate: Gate) -> tuple[list[Event[BatchTested]], GateControlled | None, int]:
    """The last verdicts of the gate, newest first, as far as they are none; what it said of the base meanwhile; and how
    many of them came after that. (What is to be run must not depend on when a run began: it may have been started in
    the run before.)
    """
    mine = [test for test in reversed(batch.tests) if _is_of(test, gate)]
    found = list(takewhile(lambda test: test.data.verdict == gates.BROKEN, mine))
    controls = [one for one in batch.controls if (one.data.gate, one.data.command) == (gate.name, gate.command)]
    last = controls[-1] if controls and found and controls[-1].id > found[-1].id else None
    return found, last.data if last else None, len([test for test in found if not last or test.id > last.id])


def _verdicts(tests: Sequence[Event[BatchTested]], gate: Gate) -> list[str]:
    return [test.data.verdict for test in tests if _is_of(test, gate)]


def _reds(batch: batches.Batch, tree: str, gate: Gate) -> list[Event[BatchTested]]:
    """How often the gate failed on that tree in that batch: what is said twice of one run counts once."""
    tests = [test for test in batch.tests if test.data.tree == tree and _is_of(test, gate)]
    return list({test.data.run: test for test in tests if test.data.verdict == gates.FAILED}.values())


def _is_of(test: Event[BatchTested], gate: Gate) -> bool:
    """The command counts, not the name alone: it may be another one in another run of the swarm."""
    return (test.data.gate, test.data.command) == (gate.name, gate.command)


# --- sessions -------------------------------------------------------------------------------------


class Turn(msgspec.Struct, frozen=True):
    """How far a command that is to be run is: in `session`, which is to be `start`ed, still runs, or is to be judged as
    `said`, which follows from the event `cause`.
    """

    session: str
    start: bool = False
    said: gates.Verdict | None = None
    cause: str = ""


def turn(owner: agents.Attempt, stem: str, command: str, judged: Sequence[str]) -> Turn:
    """The newest session of those that are named `<stem>-1`, `-2`, … `judged`: the events of which a verdict was given
    already. One that was ended has not judged: then there is a next one.
    """
    number, lost = 0, 0
    while session := owner.sessions.get(f"{stem}-{number + 1}"):
        number, lost = number + 1, lost + 1 if session.lost else 0
    following = Turn(f"{stem}-{number + 1}", start=True)
    newest = owner.sessions.get(f"{stem}-{number}")
    if newest is None:
        return following
    if not newest.over:
        return Turn(newest.id)
    cause = max(happened(newest.latest, SessionExited), happened(newest.latest, SessionLost))
    killed = newest.exited and newest.exited.ended_by == "killed"
    if killed or cause in judged or lost % LOST:
        return following
    return Turn(newest.id, said=gates.verdict(newest, command), cause=cause)


def batch_of(session: str) -> str:
    """The batch that a session's name begins with; empty if it is none of a batch."""
    first, _, rest = session.partition("-")
    return f"{first}-{rest.partition('-')[0]}" if first == "b" and rest else ""


def busy_slots(board: Board) -> set[int]:
    """The Merger's worktrees in which something runs, wanted or not."""
    found = set()
    for session in board[agents.State].sessions():
        if session.kind in ("landing", "validation"):
            batch = board[batches.State].all.get(batch_of(session.id))
            found.add(batch.formed.slot if batch and batch.formed else 1)
    return found


def nobodys(board: Board) -> batches.Verdict | None:
    """What shows that no branch is at fault, since the run began, or the queue was let go on: the newest control, if it
    could not judge either, or a validation that could not, after another test that could not.
    """
    run, recent = board[runs.State].current, board[batches.State].recent()
    found = {id_: event for one in recent for id_, event in one.verdicts.items() if run and id_ > run.began}
    said = [found[id_] for id_ in sorted(found)]
    controls, last = [one for one in said if isinstance(one.data, GateControlled)], said[-gates.TRIES :]
    if controls and controls[-1].data.verdict == gates.BROKEN:
        return controls[-1]
    twice = len(last) == gates.TRIES and all(one.data.verdict == gates.BROKEN for one in last)
    return last[-1] if twice and isinstance(last[-1].data, ValidationFinished) else None
