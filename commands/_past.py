"""A log to look back into: the board as of any moment, and the events around it. Rule: it appends nothing, and reads no
more of a long log than it must.

Moments are ids (`_moments.py`). Events are counted from 1 in the order of ids, each once however many copies there are.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from heapq import merge
from typing import Any

from ..eventlog.fact import Event
from ..eventlog.lines import decode_block
from ..eventlog.segments import node_of_file
from ..projections import Board
from ._moments import END, START
from ._spans import Spans

_ID_PART = re.compile("[0-9a-f-]{1,36}")


class Past:
    """The log in a folder, as it is at the first look. `cache`: where to keep what makes the next quick."""

    def __init__(self, directory: str, cache: str = "") -> None:
        self.directory, self._cache = directory, cache
        self._boards: list[Board] = []

    def close(self) -> None:
        """Close what was opened: the boards can no longer recall what rests."""
        for board in self._boards:
            board.close()

    @cached_property
    def _spans(self) -> Spans:
        return Spans(self.directory, self._cache)

    @cached_property
    def _tidy(self) -> bool:
        return self._spans.tidy()

    # --- what there is ---

    def newest(self) -> str:
        """The last id; empty if there is none."""
        return max((span.last for span in self._spans.all.values()), default=START)

    def nth(self, number: int) -> str:
        """The id of the event with that number, from 1; empty if there are not so many."""
        names, before = list(self._spans.all), 0
        if self._tidy and len({node_of_file(name) for name in names}) == 1:
            while names and before + (count := self._spans.count(names[0])) < number:
                before += count
                del names[0]
            del names[1:]
        self._spans.keep()
        ids = sorted({event.id for name in names for event in self._spans.events(name)})
        return ids[number - before - 1] if 0 < number - before <= len(ids) else START

    def called(self, words: str) -> list[str]:
        """The ids that start or end so, in order. Only lines with these letters in them are decoded."""
        if _ID_PART.fullmatch(words) is None:
            return []
        needle = words.encode()
        found = (block for name in self._spans.all for block in self._spans.blocks(name) if needle in block)
        lines = b"\n".join(line for block in found for line in block.split(b"\n") if needle in line)
        ids = {event.id for event in decode_block(lines)[0]}
        return sorted(id_ for id_ in ids if id_.startswith(words) or id_.endswith(words))

    # --- looking at it ---

    def board(self, until: str, whole: bool = False) -> Board:
        """The state after every event that does not sort after that id. `whole`: with all that rests in memory too."""
        if self._cache and not whole:
            from ..world.checkpoints import as_of
            from ..world.store import Stale

            try:
                self._boards.append(as_of(self.directory, self._cache, until))
                return self._boards[-1]
            except Stale:
                pass  # the log was changed under what is kept: it is folded from its beginning
        return Board().fold(self.between(START, until))

    def between(self, after: str, until: str = END) -> Iterator[Event[Any]]:
        """The events that sort after the one and not after the other, in order."""
        nodes: dict[str, list[str]] = {}
        for name, span in self._spans.all.items():
            if not self._tidy or (span.last > after and span.first <= until):
                nodes.setdefault(node_of_file(name), []).append(name)
        last = after
        for event in merge(*map(self._in_order, nodes.values()), key=lambda event: event.id):
            if last < event.id <= until:
                last = event.id
                yield event

    def event(self, id: str) -> Event[Any] | None:  # noqa: A002
        """The event with that id."""
        spans = self._spans.all.items()
        around = [name for name, span in spans if not self._tidy or span.first <= id <= span.last]
        return next((event for name in around for event in self._spans.events(name) if event.id == id), None)

    def number(self, id: str) -> tuple[int, int]:  # noqa: A002
        """How many events there are up to that one, and in all."""
        if not self._tidy:
            ids = {event.id for name in self._spans.all for event in self._spans.events(name)}
            return sum(one <= id for one in ids), len(ids)
        before = total = 0
        for name, span in self._spans.all.items():
            total += self._spans.count(name)
            if span.last <= id:
                before += self._spans.count(name)
            elif span.first <= id:
                before += len({event.id for event in self._spans.events(name) if event.id <= id})
        self._spans.keep()
        return before, total

    def _in_order(self, names: list[str]) -> Iterator[Event[Any]]:
        """The events of one node; out of all its files at once if they do not follow each other."""
        for group in [[name] for name in names] if self._tidy else [names]:
            yield from sorted((event for name in group for event in self._spans.events(name)), key=lambda one: one.id)
