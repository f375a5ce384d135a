"""`swarm replay --verify`: reads the files of each node, has today's actors decide again, tells what came of it.

Rule: what is compared, and why it differs, is known in `actors/again.py`; here is only reading and printing.
"""

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from ..actors.again import Difference, Verdict, decide_again, decision
from ..actors.command import Decide
from ..eventlog.disk import REAL, Disk
from ..eventlog.fact import Event, Fact, Unknown
from ..eventlog.lines import Bad, decode_block, envelope
from ..eventlog.segments import SUFFIX, is_sealed, node_of_file
from ..eventlog.tail import blocks, node_files, opened
from ..eventlog.telling import clock, one_line, sentence, short, tell
from ..eventlog.text import many
from . import emit, say


def verify(directory: str, after: str, json_: bool) -> int:
    """Ask at every decision after that event, and say what came of it; returns the exit code."""
    nodes = sorted({node_of_file(name) for name in node_files(directory)})
    verdict = decide_again(nodes, lambda node: lines(directory, node), after)
    if json_:
        emit(_document(verdict))
    else:
        for note in verdict.notes:
            say(f"note      {note}")
        for line in _words(directory, nodes, verdict):
            say(line)
    return 1 if verdict.difference else 0


# --- reading --------------------------------------------------------------------------------------


def lines(directory: str, node: str, disk: Disk = REAL) -> Iterator[Event[Any] | Bad]:
    """What stands in the files of a node, as they were at one moment: events, and lines that are none."""
    growing = os.path.join(directory, node + SUFFIX)
    while True:
        names = _files_of(directory, node, disk)
        fd = opened(growing, disk)
        if names == _files_of(directory, node, disk):
            break
        _close(fd, disk)  # it was sealed meanwhile
    try:
        for name in filter(is_sealed, names):
            sealed = opened(os.path.join(directory, name), disk)
            try:
                yield from _lines_of(sealed, disk)
            finally:
                _close(sealed, disk)
        yield from _lines_of(fd, disk)
    finally:
        _close(fd, disk)


def _files_of(directory: str, node: str, disk: Disk) -> list[str]:
    return [name for name in node_files(directory, disk) if node_of_file(name) == node]


def _close(fd: int, disk: Disk) -> None:
    if fd >= 0:
        disk.close(fd)


def _lines_of(fd: int, disk: Disk) -> Iterator[Event[Any] | Bad]:
    if fd < 0:
        return
    size, read = disk.fstat(fd).st_size, 0
    for _, block, end in blocks(fd, 0, size, disk):
        read = end
        events, bad = decode_block(block)
        if not bad:
            yield from events
        else:  # its place among the events matters: one by one
            for line in block.split(b"\n"):
                events, bad = decode_block(line)
                yield from events
                yield from bad
    if read < size:
        yield Bad(read, size - read, "not finished")


def _find(directory: str, nodes: list[str], id_: str) -> Event[Any] | None:
    found = (line for node in nodes for line in lines(directory, node) if not isinstance(line, Bad))
    return next((event for event in found if event.id == id_), None)


# --- telling --------------------------------------------------------------------------------------


def _words(directory: str, nodes: list[str], verdict: Verdict) -> Iterator[str]:
    found = verdict.difference
    agree = f"{many(verdict.decisions, 'decision')} by {many(len(verdict.actors), 'actor')}"
    if found is None:
        yield f"{agree} {'agrees' if verdict.decisions == 1 else 'agree'}"
        return
    then, today, event = found.recorded, found.decided, found.event
    yield f"today's {event.source} decides otherwise; before that, {agree} agree"
    place = f"decision {found.number + 1} of {len(found.events)} made at once"
    yield f"at        {event.id}, {clock(event.id)}, on {one_line(found.node)}: {place}"
    yield f"recorded  {_told(then, event)}"
    yield f"today     {f'it raises {one_line(found.error, 400)}' if found.error else _told(today, event)}"
    for name, old, new in _fields(then, today):
        yield f"differs   {name}: {one_line(old, 200)} recorded, {one_line(new, 200)} today"
    for node, id_ in found.lost:
        yield f"lost      it had seen {id_} of {one_line(node)}: that is not in the log"
    for heading, block in (("state", found.state), ("reason", found.reason)):
        for line in block:
            yield f"{heading:<10}{line}"
            heading = ""
    yield f"due       {', '.join(found.due) or 'nothing'} (all that today's {event.source} has to do about it)"
    for id_ in dict.fromkeys(one.cause for one in (then, today) if one and one.cause):
        cause = _find(directory, nodes, id_)
        yield f"cause     {short(id_)}  {tell(cause) if cause else 'not in the log'}"
    yield f"see       swarm replay --at {max(event.seen.values(), default='0')}"


def _told(one: Decide | None, event: Event[Any]) -> str:
    if one is None:
        return "nothing more"
    words = sentence(envelope(one.fact, id=event.id, time=event.time, source=event.source))
    name = one.fact.name if isinstance(one.fact, Unknown) else one.fact.type
    return f"{one_line(short(one.subject), 48) or '-'}  {one_line(name, 48)}  {words}"


def _fields(then: Decide | None, today: Decide | None) -> Iterator[tuple[str, str, str]]:
    """Field by field what differs between two decisions of the same kind: (name, recorded, today)."""
    if then is None or today is None or type(then.fact) is not type(today.fact):
        return
    pairs: list[tuple[str, object, object]] = [
        ("subject", then.subject, today.subject),
        *((name, getattr(then.fact, name), getattr(today.fact, name)) for name in then.fact.__struct_fields__),
        ("cause", then.cause, today.cause),
    ]
    for name, old, new in pairs:
        if old != new:
            yield name, repr(old), repr(new)


def _document(verdict: Verdict) -> dict[str, Any]:
    found = verdict.difference
    return {
        "decisions": verdict.decisions,
        "actors": dict(sorted(verdict.actors.items())),
        "notes": verdict.notes,
        "difference": _difference(found) if found else None,
    }


def _difference(found: Difference) -> dict[str, Any]:
    event = found.event
    return {
        "id": event.id,
        "time": event.time,
        "node": found.node,
        "actor": event.source,
        "seen": event.seen,
        "now": event.now,
        "number": found.number,
        "recorded": [_choice(decision(one)) for one in found.events],
        "today": [_choice(one) for one in found.today],
        "fields": [{"name": n, "recorded": r, "today": t} for n, r, t in _fields(found.recorded, found.decided)],
        "error": found.error,
        "lost": [{"node": node, "id": id_} for node, id_ in found.lost],
        "state": found.state,
        "reason": found.reason,
        "due": found.due,
    }


def _choice(one: Decide) -> dict[str, Any]:
    fact: Fact = one.fact
    if isinstance(fact, Unknown):
        return {"type": fact.name, "subject": one.subject, "cause": one.cause, "data": msgspec.Raw(fact.raw)}
    return {"type": fact.type, "subject": one.subject, "cause": one.cause, "data": fact}
