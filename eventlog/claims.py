"""What the events of a log say of each other, added up: what is needed and not there, what was twice, and what became
of each letter. Rule: of what was shown only a 64-bit hash is kept, and of what is needed only what was not shown yet.

(Two keys of one hash would hide a fault, or make one up: for a log of ten million events the chance is below 1e-6.)
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from .chains import Fault, Ids, Line, Spot
from .events import EventRefused, LogRepaired, MailAcked, MailDeadLettered, MailDelivered, MailSent
from .fact import Event, Unknown
from .ids import is_id
from .moved import Moved, learn
from .transitions import Key, missing, needs, shows, single, twice

UNREAD, DEAD, DELIVERED, ACKED = LETTERS = ("unread", "dead", "delivered", "acked")
"""What may have become of a letter, the furthest last."""

_FATES: dict[type[Any], str] = {MailDeadLettered: DEAD, MailDelivered: DELIVERED, MailAcked: ACKED}
_TELLING = {*_FATES, MailSent, LogRepaired, EventRefused, Unknown}
_SENT = len(LETTERS)
_MANY = 4096

_NAMED = {"cause": 1, "generation": 2, "holder": 2, "lease": 2, "letter": 1}
"""Kinds of keys that name the event which shows them -> where in the key its id stands."""


class Claim(msgspec.Struct, frozen=True):
    """That an event needs `key`. `source` and `cause` are those of its envelope."""

    spot: Spot
    event: str
    type: str
    source: str
    cause: str
    key: Key

    @property
    def named(self) -> str:
        """The id of the event that is needed; empty where any event may show it."""
        return str(self.key[_NAMED[self.key[0]]]) if self.key[0] in _NAMED else ""


class Claims:
    """Given every event, it knows what does not fit. `ids` are those of the log, each added before its event is given.

    `faults`: what was twice, or cannot be together. `unknown`: types (or data) that this version does not know -> how
    many. `repaired`: files; `gaps`: hashes that a repair left behind; `moved`: what it moved; `refused`: files of which
    something was refused.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self.nodes: set[str] = set()
        self.unknown: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.repaired: set[str] = set()
        self.gaps: set[str] = set()
        self.moved: Moved = {}
        self.refused: set[str] = set()
        self._shown: set[int] = set()
        self._owed: dict[int, Claim] = {}
        self._singles: dict[int, int] = {}
        self._letters: dict[int, int] = {}
        self._had: set[int] = set()
        self._dead: set[int] = set()
        self._refused: set[str] = set()
        self._strange: set[str] = set()
        self._began: dict[str, str] = {}
        self._repair = ""
        self._there: set[str] = set()

    # --- taking ---

    def take(self, event: Event[Any], file: str, line: Line) -> None:
        """One more event, in that line of that file. Again is harmless."""
        if event.id < self._began.get(event.subject, "~"):
            self._began[event.subject] = event.id
        for key in shows(event):
            number = hash(key)
            self._shown.add(number)
            self._owed.pop(number, None)
        for key in needs(event):
            self._need(key, event, file, line)
        if event.correlationid:
            self._need(("run", event.correlationid), event, file, line)
        cause = event.causationid
        if cause and cause not in self._there:
            self._caused(cause, event, file, line)
        only = single(event)
        if only and self._singles.setdefault(hash(only), hash(event.id)) != hash(event.id):
            self._fault(file, line, f"{event.id}: {twice(only)}")
        if type(event.data) in _TELLING:
            self._note(event, file, line)

    def _need(self, key: Key, event: Event[Any], file: str, line: Line) -> None:
        number = hash(key)
        if number not in self._shown and number not in self._owed:
            spot = Spot(file, line.offset, line.length)
            self._owed[number] = Claim(spot, event.id, event.type, event.source, event.causationid, key)

    def _caused(self, cause: str, event: Event[Any], file: str, line: Line) -> None:
        """What led to one event leads to many: the newest that were looked up are remembered."""
        if self._holds(cause):
            if len(self._there) > _MANY:
                self._there.clear()
            self._there.add(cause)
        else:
            self._need(("cause", cause), event, file, line)

    def _note(self, event: Event[Any], file: str, line: Line) -> None:
        match event.data:
            case MailDelivered(letter=letter, reader=reader) | MailAcked(letter=letter, reader=reader):
                self._became(letter, reader, event, self._had, self._dead, file, line)
            case MailDeadLettered(letter=letter, recipient=reader):
                self._became(letter, reader, event, self._dead, self._had, file, line)
            case LogRepaired(file=repaired, gaps=gaps):
                self.gaps.update(gaps)
                learn(self.moved, event.data)
                self.repaired.add(repaired)
                self._repair = max(self._repair, event.id)
            case EventRefused(origin=origin, event=refused):
                self.refused.add(origin)
                self._refused.add(refused)
            case Unknown(name=name):
                self.unknown[name] += 1
                self._strange.add(event.subject)
        if event.type == MailSent.type:  # by its name: a newer version's letter is one too
            number = hash(event.id)
            self._letters[number] = self._letters.get(number, 0) | _SENT

    def _became(
        self, letter: str, reader: str, event: Event[Any], same: set[int], other: set[int], file: str, line: Line
    ) -> None:
        fate, number, pair = _FATES[type(event.data)], hash(letter), hash((letter, reader))
        known = self._letters.get(number, 0)
        self._letters[number] = known & _SENT | max(known & ~_SENT, LETTERS.index(fate))
        same.add(pair)
        if pair in other:
            self._fault(file, line, f"{event.id}: letter {letter} is dead for {reader}, and {reader} has had it")

    def _fault(self, file: str, line: Line, words: str) -> None:
        self.faults.append(Fault(Spot(file, line.offset, line.length), words))

    # --- adding up ---

    def letters(self) -> dict[str, int]:
        """What became of them -> how many; each that was sent counts once, as the furthest that any reader got."""
        found = dict.fromkeys(LETTERS, 0)
        for state in self._letters.values():
            if state & _SENT:
                found[LETTERS[state & ~_SENT]] += 1
        return found

    def unmet(self) -> Iterator[tuple[Fault, bool]]:
        """What is needed and not there, and whether that is an error. Each event that is missing is told once."""
        told: set[str] = set()
        for number, claim in self._owed.items():
            absent = bool(claim.named) and not self._holds(claim.named)
            if number in self._shown or claim.named in told or (claim.key[0] == "cause" and not absent):
                continue
            if absent:
                told.add(claim.named)
                words = f"its {claim.key[0]} {claim.named} is not in the log"
            else:
                words = missing(claim.key)
            excuse = self._excuse(claim, absent)
            yield Fault(claim.spot, f"{claim.type} {claim.event}: {words}{excuse and f': {excuse}'}"), not excuse

    def _excuse(self, claim: Claim, absent: bool) -> str:
        """Why that may be; empty if it may not."""
        about = str(claim.key[1])
        if claim.key[0] == "issue":
            return "it may come yet"
        if about in self._strange:
            return "a newer version may have said it otherwise"
        if absent:
            return self._excuse_absent(claim.named)
        if claim.named:
            return ""
        if min(claim.event, self._began.get(about, claim.event)) < self._repair:
            return "it may be among the lines that were moved by a repair"
        elsewhere = len(self.nodes) > 1 and claim.source.startswith(("human", "agent/"))
        if elsewhere or (claim.cause and not self._holds(claim.cause) and self._excuse_absent(claim.cause)):
            return "what it rests on may not have arrived yet"
        return ""

    def _holds(self, id: str) -> bool:  # noqa: A002
        return is_id(id) and id in self._ids

    def _excuse_absent(self, id: str) -> str:  # noqa: A002
        if not is_id(id):
            return ""
        if id in self._refused:
            return "it was refused"
        if id < self._repair:
            return "it may be among the lines that were moved by a repair"
        return "" if self._ids.passed(id) else "it has not arrived yet"
