"""Who lands next: what waits in the merge queue, in which order, how many together, and who with whom.

Rule: pure, and starvation-free: whoever comes first is taken, at least alone. An entry is passed only by such as are
more urgent and were queued at most so much later as `ageing` says, so each comes first in the end.
"""

from collections.abc import Sequence
from math import ceil

import msgspec

from ..eventlog.events import BatchFormed, LandingHeld, MergePolicy, MergeQueued, RunStarted, WorkSecured
from ..eventlog.hashes import blake2b
from ..eventlog.ids import time_of
from ..projections import Board, agents, batches, fact, happened, issues, merges
from . import nodes, records

LISTED = 200
"""Of so many changed files or more, not all are known by name."""
SPLIT = 4
"""Into so many parts a batch that failed is divided at most."""
_NORMAL = 3


class Entry(msgspec.Struct, frozen=True):
    """What may be chosen. `queued` is the id of its queueing, `files` what it touches (None: perhaps anything). What is
    `alone` is expected to conflict, or was refused by git before: it is not to keep others from landing.
    """

    issue: str
    attempt: int
    commit: str
    queued: str
    priority: int = _NORMAL
    files: frozenset[str] | None = None
    alone: bool = False

    @property
    def member(self) -> batches.Member:
        """Its name in a batch."""
        return self.issue, self.attempt


def attempts(board: Board) -> dict[batches.Member, agents.Attempt]:
    """Our attempts that wait to land, in a batch or not. (One whose assignment is damaged in the log is none.)"""
    waiting = board[merges.State].waiting
    ours = {(one.issue, one.number): one for one in board[agents.State].ongoing() if not one.ended}
    return {key: one for key, one in ours.items() if key in waiting}


def may_land(board: Board, settings: RunStarted, attempt: agents.Attempt, now: float) -> tuple[bool, str, float]:
    """Whether nobody and nothing forbids it; under which lease, and until when (Unix time; 0: for ever)."""
    if attempt.assigned is None or attempt.leak:
        return False, "", 0.0
    return nodes.may_land(board, settings, attempt.issue, attempt.assigned, now)


def entries(board: Board, settings: RunStarted, now: float) -> list[Entry]:
    """What may be chosen now, whoever comes first first."""
    taken = {tuple(each) for one in board[batches.State].open() if one.formed for each in one.formed.members}
    found = [
        _entry(board, attempt)
        for member, attempt in attempts(board).items()
        if member not in taken and may_land(board, settings, attempt, now)[0]
    ]
    return ordered(found, settings.merge.ageing)


def _entry(board: Board, attempt: agents.Attempt) -> Entry:
    merge = board[merges.State].waiting[attempt.issue, attempt.number]
    issue = board[issues.State].all.get(attempt.issue)
    return Entry(
        attempt.issue,
        attempt.number,
        merge.queued.commit if merge.queued else "",
        happened(merge.latest, MergeQueued),
        issue.opened.priority if issue and issue.opened else _NORMAL,
        touched(attempt),
        bool((merge.predicted and merge.predicted.files) or LandingHeld in merge.latest),
    )


def touched(attempt: agents.Attempt) -> frozenset[str] | None:
    """The files that its work changes; None if not all are known."""
    secured = fact(attempt.latest, WorkSecured)
    return frozenset(secured.files) if secured and len(secured.files) < LISTED else None


def ordered(found: Sequence[Entry], ageing: float) -> list[Entry]:
    """The most urgent first, then whoever was queued first; `ageing` seconds (0: it does not count) are one step.

    All that wait grow older at the same pace: so the order does not depend on what time it is.
    """
    age = {entry: time_of(entry.queued) / ageing if ageing else 0.0 for entry in found}
    return sorted(found, key=lambda entry: (entry.priority + age[entry], entry.queued, entry.issue, entry.attempt))


def choose(found: Sequence[Entry], size: int) -> list[Entry]:
    """The first of them, and up to `size` in all of those after it that go with each other."""
    chosen = list(found[:1])
    for entry in found[1:]:
        if len(chosen) >= size or chosen[0].alone or chosen[0].files is None:
            break
        if not entry.alone and all(apart(entry, other) for other in chosen):
            chosen.append(entry)
    return chosen


def apart(one: Entry, other: Entry) -> bool:
    """Whether the two touch no file in common, as far as is known."""
    return one.files is not None and other.files is not None and one.files.isdisjoint(other.files)


def size(recent: Sequence[batches.Batch], most: int) -> int:
    """How many to test together: half as many as in the last batch of the queue that failed, and twice as many for each
    that landed since; `most` at most. `recent`: oldest first; parts of batches do not count.
    """
    found = most
    for batch in recent:
        if batch.formed is None or batch.dissolved is None or batch.formed.of:
            continue
        if batch.dissolved.failed:
            found = max(1, len(batch.formed.members) // 2)
        elif batch.landed:
            found = min(most, 2 * found)
    return found


# --- batches --------------------------------------------------------------------------------------


def named(members: Sequence[tuple[str, int, str]], after: str, of: str, since: str) -> str:
    """The id of a batch of these (issue, attempt, commit). `since`: the newest batch before it was formed."""
    text = "\n".join([after, of, since, *(f"{issue} {attempt} {commit}" for issue, attempt, commit in members)])
    return f"b-{blake2b(text.encode(), digest_size=6).hexdigest()}"


class Room(msgspec.Struct, frozen=True):
    """Where the next batch may be tested: in the worktree `slot`, which is one of `free`, and on top of the batch
    `after` (empty: on the target), which may not be `ready` yet. `careful`: something failed lately, so only what is
    known to be good is to be on top of another.
    """

    after: str
    slot: int
    free: int = 1
    careful: bool = False
    ready: bool = True


def next_batch(
    board: Board, settings: RunStarted, now: float, room: Room, known: records.Records
) -> tuple[str, BatchFormed, str] | None:
    """(id, fact, the id of the event that led to it) of the batch to form of what waits; None if nothing does.

    Of whom the same is `known` are tested together: suspects with those with whom they failed, in smaller parts; what
    is good, as many as may be; and while something fails, what is new is divided among the free worktrees.
    """
    found = entries(board, settings, now)
    if not found:
        return None
    recent, record = board[batches.State].recent(), known.get(found[0].member, records.NEW)
    alike = [entry for entry in found if known.get(entry.member, records.NEW) == record]
    alone = bool(record.failed) or (room.careful and not record.good)
    if not (alone or room.ready):
        return None
    chosen = choose(alike, _together(board, settings.merge, room, record, len(alike)))
    after = "" if alone else room.after
    since = happened(recent[-1].latest, BatchFormed) if recent else ""
    name = named([(one.issue, one.attempt, one.commit) for one in chosen], after, record.failed, since)
    formed = BatchFormed(members=[one.member for one in chosen], after=after, of=record.failed, slot=room.slot)
    return name, formed, max(one.queued for one in chosen)


def _together(board: Board, policy: MergePolicy, room: Room, record: records.Record, alike: int) -> int:
    """How many of those that are `alike` to test at once."""
    state = board[batches.State]
    if record.failed:
        return ceil(len(state.all[record.failed].members) / min(policy.parallel, SPLIT))
    if record.good:
        return policy.batch_max
    most = size(state.recent(), policy.batch_max)
    return min(most, ceil(alike / room.free)) if room.careful else most


def parts(board: Board, batch: batches.Batch, width: int) -> list[tuple[str, BatchFormed]]:
    """The halves of a batch of several, or as many parts as are tested side by side (`width`), each stacked on the one
    before. The first is tested where the whole was.
    """
    waiting, members = board[merges.State].all, batch.members
    commits = {key: merge.queued.commit for key in members if (merge := waiting.get(key)) and merge.queued}
    number = min(max(2, width), len(members))
    first = batch.formed.slot if batch.formed else 1
    slots = [first, *(slot for slot in range(1, max(2, width) + 1) if slot != first)]
    found: list[tuple[str, BatchFormed]] = []
    for place in range(number):
        part = members[place * len(members) // number : (place + 1) * len(members) // number]
        after = found[-1][0] if found else ""
        name = named([(issue, n, commits.get((issue, n), "")) for issue, n in part], after, batch.id, "")
        slot = slots[place] if width > 1 else first
        found.append((name, BatchFormed(members=part, after=after, of=batch.id, slot=slot)))
    return found
