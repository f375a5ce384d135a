"""The log's folder, this clone's tip of the branch and the remote's, put together file by file. Rule: afterwards the
folder has every event of all three that may be believed, and the tree that comes of it has every event at all.

What is not taken over is refused with words: lines that are no events, ids too far ahead, files that are no segments.

What a repair has moved away, here or in any other clone, is not taken over either, and the folder loses what it still
has of it (eventlog/moved.py): so a repair in one clone is one in all. All repairs in what is settled are known from the
record, and those in anything else are found when it is read, as it must be anyway. One that is new may mean any file:
then, and only then, all of them are looked into.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from ..eventlog.moved import Moved
from ..eventlog.segments import SUFFIX, is_sealed
from .logbranch import ATTRIBUTES, FILE, UNION, Entry, LogBranch, Tree
from .logfolder import Copy, LogFolder, Record, Refusal, Settled
from .union import Lines, Version, heard, joined, out, read

BATCH = 16 * 1024 * 1024
LARGEST = 64 * 1024 * 1024
"""Bytes: what is read at a time, and what a file may have."""


class Met(msgspec.Struct):
    """What came of it. `tree`: what the branch is to have; `copies`: what the folder has; `settled`: those of them that
    say what the tree says. `moved`: what all repairs have moved that are known now; `gone`: how many events the folder
    lost by that. Numbers are of events, and of files that have them.
    """

    tree: Tree
    copies: dict[str, Copy]
    settled: dict[str, Settled] = {}
    refused: list[Refusal] = []
    sent: int = 0
    received: int = 0
    files_sent: int = 0
    files_received: int = 0
    moved: Moved = {}
    gone: int = 0


class _Open(msgspec.Struct, frozen=True):
    """A file to look into: what the remote and this clone's tip have for it."""

    name: str
    theirs: Entry | None
    mine: Entry | None

    @property
    def blobs(self) -> dict[str, int]:
        """Id -> size of each version on the branch."""
        return {entry.id: entry.size for entry in (self.theirs, self.mine) if entry}


class Meeting:
    """One folder and one repository; `now` gives Unix time."""

    def __init__(self, folder: LogFolder, branch: LogBranch, now: Callable[[], float]) -> None:
        self._folder, self._branch, self._now = folder, branch, now

    def meet(self, record: Record, mine: Tree, theirs: Tree) -> Met:
        """Bring the three together. `record` is what was so after the last time."""
        met = self._meet(record, mine, theirs)
        while met.moved != record.moved:
            record, before = msgspec.structs.replace(record, files={}, moved=met.moved), met
            met = self._meet(record, mine, theirs)
            met.received += before.received
            met.files_received += before.files_received
            met.gone += before.gone
        return met

    def _meet(self, record: Record, mine: Tree, theirs: Tree) -> Met:
        met = Met(tree={**mine, **theirs}, copies=self._folder.copies(), moved=dict(record.moved))
        ahead: list[tuple[Copy, Settled]] = []
        apart: list[_Open] = []
        for name in sorted({*met.tree, *met.copies}):
            there, copy, settled = theirs.get(name), met.copies.get(name), record.files.get(name)
            alike = there == mine.get(name)
            if alike and there and copy and settled and there.id == settled.blob and copy.same_as(settled):
                met.settled[name] = settled  # as nearly all are
            elif not self._is_segment(name, met):
                continue
            elif alike and copy and (not there or self._goes_on(copy, settled, there)):
                ahead.append((copy, self._counted(met, copy, settled if there else None)))
            else:
                apart.append(_Open(name, there, mine.get(name)))
        self._keep(met, ahead)
        for batch in _batches(apart):
            contents = self._branch.blobs(list({id_: None for file in batch for id_ in file.blobs}))
            here = [self._folder.data(met.copies[file.name]) for file in batch if file.name in met.copies]
            for data in (*contents.values(), *here):
                heard(data, self._now(), met.moved)
            for file in batch:
                self._join(met, file, {id_: read(contents[id_], self._now()) for id_ in file.blobs})
        if met.tree and ATTRIBUTES not in met.tree:
            met.tree[ATTRIBUTES] = Entry(FILE, "blob", self._branch.keep(UNION), len(UNION))
        return met

    def _is_segment(self, name: str, met: Met) -> bool:
        """Whether this is a file of the log. Whatever else a person keeps on the branch stays there."""
        entry = met.tree.get(name)
        if not name.endswith(SUFFIX) or name.startswith("."):
            return False
        why = ""
        if not is_sealed(name):
            why = "its name is not that of a segment"
        elif entry and (entry.kind != "blob" or entry.mode == "120000"):
            why = "it is no file"
        elif entry and entry.size > LARGEST:
            why = f"it has {entry.size:,} bytes"
        if why:
            met.refused.append(Refusal(name, "", why))
        return not why

    def _goes_on(self, copy: Copy, settled: Settled | None, there: Entry) -> bool:
        """Whether the file is what the branch has, and more."""
        self._folder.data(copy)
        return settled is not None and settled.blob == there.id and copy.goes_on(settled)

    def _counted(self, met: Met, copy: Copy, settled: Settled | None) -> Settled:
        """Count what is new in a file that only this clone has so far; what it says, but not yet of which blob."""
        heard(self._folder.data(copy), self._now(), met.moved)
        met.sent += self._folder.data(copy).count(b"\n", settled.length if settled else 0)
        met.files_sent += 1
        found = copy.settled("")
        if not copy.grows:
            copy.data = None  # a first sync has many
        return found

    def _keep(self, met: Met, ahead: Sequence[tuple[Copy, Settled]]) -> None:
        """Have the branch say what these files say."""
        sealed = [entry for entry in ahead if not entry[0].grows]
        growing = [entry for entry in ahead if entry[0].grows]
        ids = self._branch.keep_files([copy.path for copy, _ in sealed]) if sealed else []
        ids += [self._branch.keep(copy.data or b"") for copy, _ in growing]
        for (copy, said), id_ in zip([*sealed, *growing], ids, strict=True):
            met.tree[copy.name] = Entry(FILE, "blob", id_, said.length)
            met.settled[copy.name] = msgspec.structs.replace(said, blob=id_)

    def _join(self, met: Met, file: _Open, versions: dict[str, Version]) -> None:
        """Take into the folder what it lacks of a file, and have the branch say all of it."""
        copy = met.copies.get(file.name)
        own = read(self._folder.data(copy), self._now()) if copy else Version()
        known = own.all
        everything = dict(known)
        for version in versions.values():
            everything.update(version.all)
        gone = out(everything, met.moved)
        settled = known | gone
        new = {line: id_ for each in versions.values() for line, id_ in each.events.items() if line not in settled}
        self._refuse(met, file.name, settled, own, versions.values())
        if new or (copy and known.keys() & gone):
            met.received += len(new)
            met.files_received += bool(new)
            copy = self._have(file.name, copy, own, new, gone)
            met.gone += len(known.keys() & gone)
            own = read(copy.data or b"", self._now())
            everything.update(own.all)
            met.copies[file.name] = copy
        before = len(versions[file.theirs.id].all) if file.theirs else 0
        met.sent += len(everything) - before
        met.files_sent += len(everything) > before
        whole = [id_ for id_, version in versions.items() if len(version.all) == len(everything)]
        if not whole:
            data = joined([everything], own.bad)
            met.tree[file.name] = Entry(FILE, "blob", self._branch.keep(data), len(data))
        elif met.tree[file.name].id not in whole:
            met.tree[file.name] = Entry(FILE, "blob", whole[0], file.blobs[whole[0]])
        if copy and len(own.all) + len(gone) == len(everything):
            said = copy.settled(met.tree[file.name].id)
            # What the branch has and the folder has not must stay there: when it grows, it is to be put together again.
            met.settled[file.name] = msgspec.structs.replace(said, digest="") if gone else said
        if copy:
            copy.data = None  # as above

    def _have(self, name: str, copy: Copy | None, own: Version, new: Lines, gone: Lines) -> Copy:
        """Have the file say what is new, and not what is gone."""
        if copy and copy.grows:
            return self._folder.absorb(copy, new, gone)
        self._folder.set_aside(name, {line: id_ for line, id_ in own.all.items() if line in gone})
        kept = {line: id_ for line, id_ in own.all.items() if line not in gone}
        return self._folder.put(name, joined([kept, new], own.bad))

    def _refuse(self, met: Met, name: str, known: Lines, own: Version, versions: Iterable[Version]) -> None:
        far = sorted({id_ for each in versions for line, id_ in each.far.items() if line not in known})
        if far:
            others = f" (and those of {len(far) - 1} more)" if len(far) > 1 else ""
            met.refused.append(Refusal(name, far[0], f"its id is too far ahead{others}"))
        bad = {line: each.why for each in versions for line in each.bad if line not in own.bad}
        if bad:
            why = next(iter(bad.values()))
            met.refused.append(Refusal(name, "", f"lines that are no events: {len(bad)}; the first: {why}"))


def _batches(files: Iterable[_Open]) -> Iterator[list[_Open]]:
    """So many at a time that not too much is in memory."""
    batch: list[_Open] = []
    size = 0
    for file in files:
        if batch and size > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += sum(file.blobs.values())
    if batch:
        yield batch
