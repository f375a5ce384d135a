"""Carrying the log to the other clones and back, by git. Rule: a push is the only compare-and-swap between nodes.

A sync brings the folder, this clone's tip of the branch and the remote's together (`meeting.py`), commits what came of
that, and pushes. It pushes first, and asks what is new only if that was refused: as a rule one way to the remote is
enough. A push that came too late has changed nothing: fetch, and again.

A lease is acquired by the push that carries its line. Only then the line is written into the folder, so there is none
that was not pushed; if we die in between, the next sync brings it back from the remote. Leases are in files of an
author of their own (`l…` for the node `n…`), which nothing but this appends to, under the lock of syncs.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from ..eventlog.disk import REAL, Disk
from ..eventlog.events import EventRefused
from ..eventlog.files import Draft, Log
from ..eventlog.place import Place, node_of
from ..eventlog.segments import node_of_file, sealed_name
from ..eventlog.tail import Tail
from . import clock
from .door import Door, GitError
from .logbranch import FILE, NAME, Entry, Heads, LogBranch, Tree
from .logfolder import LogFolder, Record, Refusal
from .meeting import Meeting, Met
from .refused import in_words

if TYPE_CHECKING:
    from .leasing import Leasing, Wish

SEAL = 64 * 1024
"""A growing file of so many bytes is sealed before it is carried: what is carried again as it grows stays small."""
TRIES = 20


class Carried(msgspec.Struct):
    """What a sync did. `sent` and `received` are numbers of events; `notes` what a person should know, in sentences."""

    remote: str
    commit: str = ""
    sent: int = 0
    received: int = 0
    files_sent: int = 0
    files_received: int = 0
    refused: int = 0
    notes: list[str] = []


class _Leases(msgspec.Struct, frozen=True):
    """The file of our leases as it is to be once `commit` was pushed, and its entry in the tree."""

    commit: str
    name: str
    data: bytes
    entry: Entry


class LogCarrier:
    """Satisfies the Protocol `Carrier`. Of one clone (`place`, `log`) and one remote, a name or an address; a lease
    lasts `seconds`, and `run` is the run that wants it. One thread at a time.
    """

    def __init__(
        self,
        place: Place,
        door: Door,
        log: Log,
        remote: str,
        seconds: float = 3600.0,
        run: str = "",
        now: Callable[[], float] = clock.now,
        entropy: Callable[[], int] = clock.entropy,
        pause: Callable[[float], None] = time.sleep,
        disk: Disk = REAL,
    ) -> None:
        self._node = node_of(place, entropy)
        self._directory, self._log, self._door = place.log, log, door
        self._now, self._entropy, self._pause = now, entropy, pause
        record = os.path.join(place.cache, "carried.json")
        self._folder = LogFolder(
            place.log, record, place.quarantine, lambda node: Log(place.log, node, now, entropy), now, disk
        )
        self._branch = LogBranch(door, remote)
        self._meeting = Meeting(self._folder, self._branch, now)
        self._seconds, self._run = seconds, run
        self._trees: dict[str, Tree] = {}
        self._told = ""

    # --- what may be asked of it ---

    def sync(self) -> Carried:
        """Have this clone and the remote hold the same events. Raises GitError; what was done before it stays done."""
        return self._carry(())

    def share(self, wanted: Sequence["Wish"]) -> str:
        """The same, and acquire or prolong leases. Returns what is wrong, unless that was so the last time too."""
        try:
            words = " ".join(self._carry(wanted).notes)
        except GitError as error:
            words = str(error)
        before, self._told = self._told, words
        return words if words != before else ""

    def in_time(self, until: float) -> bool:
        """Whether that time (Unix seconds) is still to come."""
        return self._now() < until

    @in_words()
    def adopt(self) -> Carried:
        """Take over what git itself has brought: a fresh clone comes with its remote's branch. Asks no remote."""
        with self._door.lock("sync"):
            heads, record = self._branch.heads(), self._folder.record()
            done = Carried(", ".join(sorted(heads.tracking)))
            if not (heads.local or heads.tracking) and self._branch.is_narrow():
                done.notes.append("this clone fetches only some branches; if others share a log with it: swarm sync")
            for remote, commit in [("", heads.local), *sorted(heads.tracking.items())]:
                try:
                    tree = self._tree(commit, record)
                except GitError as error:
                    done.notes.append(f"the branch {NAME} that git has brought cannot be read: {error}")
                    continue
                if commit:
                    self._count(done, self._meeting.meet(record, tree, tree), record)
                if remote:
                    LogBranch(self._door, remote).move(Heads(), "", commit)
            return done

    # --- one sync ---

    @in_words()
    def _carry(self, wanted: Sequence["Wish"]) -> Carried:
        with self._door.lock("sync"):
            self._log.seal(SEAL)
            try:
                return self._exchange(wanted)
            except GitError:
                lost = self._branch.forget_unreadable()
                if not lost:
                    raise
            done = self._exchange(wanted)  # the folder has everything
            done.notes[:0] = lost
            return done

    def _exchange(self, wanted: Sequence["Wish"]) -> Carried:
        self._trees.clear()
        done, fetched = Carried(self._branch.remote), False
        for turn in range(TRIES):
            heads, record = self._branch.heads(), self._folder.record()
            met = self._met(heads, record, done)
            commit = self._commit(heads, met, record)
            leases = self._leased(wanted, met, commit, done)
            top = leases.commit if leases else commit
            if top == heads.remote and fetched:
                return self._finish(done, heads, met, record, top)
            try:
                if top != heads.remote and self._pushed(top, turn):
                    done.sent, done.files_sent = met.sent, met.files_sent
                    return self._finish(done, heads, met, record, top, leases)
                self._branch.fetch()
            except GitError:
                self._branch.move(heads, commit, "")
                self._remember(record, commit, met)
                raise
            fetched = True
        raise GitError(f"others pushed to {self._branch.remote} before us, {TRIES} times", "swarm sync")

    def _met(self, heads: Heads, record: Record, done: Carried) -> Met:
        """The three sides brought together; once more if that gave something to say, for that is to be carried too."""
        theirs = self._tree(heads.remote, record)
        mine = theirs if heads.local in ("", heads.remote) else self._tree(heads.local, record)
        met = self._meeting.meet(record, mine, theirs)
        return self._meeting.meet(record, mine, theirs) if self._count(done, met, record) else met

    def _tree(self, commit: str, record: Record) -> Tree:
        if commit and commit not in self._trees:
            self._trees[commit] = record.tree if commit == record.tip else self._branch.tree(commit)
        return self._trees.get(commit, {})

    def _count(self, done: Carried, met: Met, record: Record) -> int:
        """Add up what came, and say in the log what was refused, if that was not said before. How much was said."""
        done.received += met.received
        done.files_received += met.files_received
        if met.gone:
            words = f"events that a repair elsewhere has moved away were moved to quarantine: {met.gone}"
            done.notes.append(f"{words}; a swarm that runs here knows them until it is started again")
        new = [refusal for refusal in met.refused if refusal not in record.told]
        if new:
            from .leasing import SOURCE

            said = Tail(self._directory, (EventRefused.type,)).read()
            known = {
                Refusal(e.data.origin, e.data.event, e.data.reason) for e in said if isinstance(e.data, EventRefused)
            }
            facts = [EventRefused(one.origin, one.event, one.reason) for one in new if one not in known]
            self._log.append([Draft(fact, SOURCE) for fact in facts])
            done.refused += len(facts)
            return len(facts)
        return 0

    def _commit(self, heads: Heads, met: Met, record: Record) -> str:
        """A commit with that tree that comes from both tips; one of these, if that is one."""
        parents = [tip for tip in dict.fromkeys((heads.remote, heads.local)) if tip]
        if len(parents) == 2:
            newer = [tip for tip in parents if all(self._branch.contains(tip, other) for other in parents)]
            parents = newer or parents
        if len(parents) == 1 and _same(met.tree, self._tree(parents[0], record)):
            return parents[0]
        if not met.tree:
            return ""
        return self._branch.commit(met.tree, parents, f"Carry the log of {self._node}", self._node)

    def _pushed(self, top: str, turn: int) -> bool:
        if turn > 1:  # the more we lose, the longer we wait, and not as long as the others
            self._pause(0.01 * 2 ** min(turn, 7) * (self._entropy() % 1000) / 1000)
        return not self._branch.push(top)

    @cached_property
    def _leasing(self) -> "Leasing":
        """Made when leases are wanted: it takes the projections."""
        from .leasing import Leasing

        return Leasing(self._directory, self._node, self._seconds, self._now, self._entropy, self._run)

    def _leased(self, wanted: Sequence["Wish"], met: Met, commit: str, done: Carried) -> _Leases | None:
        """A commit on top of that one with our new leases in it; None if there is none to be had, or none needed."""
        if not wanted:
            return None
        author = self._leasing.author
        doubtful = [one.origin for one in met.refused if one.event and node_of_file(one.origin)[:1] == author[:1]]
        if doubtful:
            done.notes = [
                f"a clock is a day ahead: there are leases in {doubtful[0]} that cannot be believed, so none is taken"
            ]
            return None
        names = sorted(name for name in met.copies if node_of_file(name) == author)
        before = self._folder.data(met.copies[names[-1]]) if names else b""
        lines = self._leasing.lines(wanted, self._folder.ends(), before)
        if not lines:
            return None
        data = b"".join(line for _, line in lines)
        if names and len(before) + len(data) <= SEAL:
            name, data = names[-1], before + data
        else:
            name = sealed_name(author, lines[0][0])
        entry = Entry(FILE, "blob", self._branch.keep(data), len(data))
        above = [commit] if commit else []
        made = self._branch.commit({**met.tree, name: entry}, above, f"Lease issues to {self._node}", self._node)
        return _Leases(made, name, data, entry)

    def _finish(
        self, done: Carried, heads: Heads, met: Met, record: Record, top: str, leases: _Leases | None = None
    ) -> Carried:
        """The remote has it: so have we."""
        done.commit = top
        if not self._branch.move(heads, top, top):
            done.notes.append(f"somebody moved the branch {NAME} meanwhile: the next sync joins what they did")
        elif heads.checkout and heads.local != top:
            words = f"the branch {NAME} is checked out in {heads.checkout}, and was left where it is there"
            done.notes.append(f"{words}: git -C {heads.checkout} merge {top[:12]}")
        if leases:
            copy = self._folder.put(leases.name, leases.data)
            met.tree[leases.name], met.settled[leases.name] = leases.entry, copy.settled(leases.entry.id)
        self._remember(record, top, met)
        return done

    def _remember(self, before: Record, tip: str, met: Met) -> None:
        now = Record(tip, met.tree, met.settled, met.refused, met.moved)
        if now != before:
            self._folder.remember(now)


def _same(one: Tree, other: Tree) -> bool:
    return {name: entry.id for name, entry in one.items()} == {name: entry.id for name, entry in other.items()}
