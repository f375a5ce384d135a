"""Mail: letters, and what became of each. Rule: a letter is unread until an event says that it was written out
(delivered), read on purpose (acked) or cannot arrive (dead); all three are per reader, so four readers of one letter
do not race.

Who a letter reaches is not known here: that is `mailbox/`.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from heapq import nlargest
from typing import Any

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import is_id
from . import LAST, RECENT, F, Fold, Handler

HUMAN, BROADCAST = "human", "broadcast"
UNREAD, DELIVERED, ACKED, DEAD = "unread", "delivered", "acked", "dead"
_LOOKED_AT = 64
"""So many letters that rest and are called as asked are looked at; more are counted by their keys."""


class Letter(msgspec.Struct):
    """One letter. `sent` is None in a placeholder (its reading was seen before its sending). The others: the newest
    such event by reader, or by recipient.
    """

    id: str
    sent: Event[MailSent] | None = None
    delivered: dict[str, Event[MailDelivered]] = msgspec.field(default_factory=dict)
    acked: dict[str, Event[MailAcked]] = msgspec.field(default_factory=dict)
    dead: dict[str, Event[MailDeadLettered]] = msgspec.field(default_factory=dict)

    def taken(self, reader: str) -> bool:
        """Whether that reader has had it."""
        return reader in self.delivered or reader in self.acked

    def awaits(self, address: str) -> bool:
        """Whether that recipient has not had it and is not known to be gone. One that many share (an issue, a group)
        has had it once any agent has, and broadcast also once the person has.
        """
        if address in self.dead:
            return False
        if _is_shared(address):
            had = (*self.delivered, *self.acked)
            return not any(by.startswith("agent-") or (by, address) == (HUMAN, BROADCAST) for by in had)
        return not self.taken(address)

    @property
    def unheard(self) -> bool:
        """Whether it is a broadcast that the person has not had."""
        if self.sent is None or BROADCAST not in self.sent.data.to or self.sent.source == HUMAN:
            return False
        return not (self.taken(HUMAN) or HUMAN in self.dead or BROADCAST in self.dead)

    @property
    def status(self) -> str:
        """unread, delivered, acked or dead: the furthest that any reader got."""
        if self.acked:
            return ACKED
        if self.delivered:
            return DELIVERED
        return DEAD if self.dead else UNREAD


def _is_shared(address: str) -> bool:
    """Whether many have it: an issue, a group, or broadcast."""
    return address.startswith(("issue:", "@")) or address == BROADCAST


class State(Fold):
    """All letters. `unsettled` are those of which a recipient has neither had it nor is known to be gone."""

    def __init__(self) -> None:
        super().__init__()
        self.letters: dict[str, Letter] = {}
        self.unsettled: dict[str, Letter] = {}
        self.unheard: dict[str, Letter] = {}

    def letter(self, letter_id: str) -> Letter:
        """The letter, made as a placeholder if its sending has not been seen."""
        found = self.letters.get(letter_id)
        if found is None:
            found = self.letters[letter_id] = Letter(letter_id)
        return found

    def sent(self) -> Iterator[Letter]:
        """The letters in memory, oldest first: all that are unsettled, all broadcasts that the person has not had, and
        at least the newest `RECENT`.
        """
        return iter(sorted((letter for letter in self.letters.values() if letter.sent), key=lambda letter: letter.id))

    def number(self) -> int:
        """How many were sent, ever."""
        return self.sums["sent"] + sum(1 for letter in self.letters.values() if letter.sent)

    def fetch(self, address: str, since: str) -> None:
        """Have in memory what was sent to that address, one that many share, after the event `since`. What is about an
        issue has the address `about:ID`.
        """
        for entry in self.archive.between(f"{address} {since}", f"{address} {LAST}"):
            self.recall(entry[len(address) + 1 :])

    def index(self, letter: Letter) -> None:
        """Keep `unsettled` and `unheard` true after a change of the letter."""
        to = letter.sent.data.to if letter.sent else ()
        awaited = any([letter.awaits(address) for address in to])  # noqa: C419  # a hot place: quicker so
        for found, true in ((self.unsettled, awaited), (self.unheard, letter.unheard)):
            if true:
                found[letter.id] = letter
            else:
                found.pop(letter.id, None)

    def keys(self) -> Set[str]:
        """The letters in memory."""
        return self.letters.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The letter, and what became of it."""
        letter = self.letters.get(key)
        if letter is None:
            return ()
        sent = [letter.sent] if letter.sent else []
        return (*sent, *letter.delivered.values(), *letter.acked.values(), *letter.dead.values())

    def entries(self, key: str) -> Iterable[str]:
        """`<address> <id>` for each address that many share, and `about:<issue> <id>`: see `fetch`."""
        letter = self.letters[key]
        if letter.sent is None:
            return ()
        data = letter.sent.data
        shared = [to for to in data.to if _is_shared(to)]
        return [f"{name} {key}" for name in (*shared, *([f"about:{data.issue}"] if data.issue else []))]

    def busy(self) -> set[str]:
        """What somebody has yet to read, and the newest letters."""
        newest = nlargest(RECENT, (letter.id for letter in self.letters.values() if letter.sent))
        return {*self.unsettled, *self.unheard, *newest}

    def count(self, key: str) -> Mapping[str, int]:
        """Whether it is a letter."""
        letter = self.letters.get(key)
        return {"sent": 1} if letter and letter.sent else {}

    def forget(self, key: str) -> None:
        """The letter."""
        self.letters.pop(key, None)
        self.unsettled.pop(key, None)
        self.unheard.pop(key, None)


def find(state: State, prefix: str) -> Letter:
    """The one letter whose id starts (or, being short, ends) so; raises UsageError with the candidates."""
    wanted = prefix.lower()
    rested = [*state.archive.between(wanted, wanted + LAST), *state.archive.ending(wanted)] if wanted else []
    rested = [key for key in dict.fromkeys(rested) if is_id(key)]
    for key in rested[:_LOOKED_AT]:
        state.recall(key)
    hits = [
        letter for letter in state.sent() if wanted and (letter.id.startswith(wanted) or letter.id.endswith(wanted))
    ]
    if len(hits) == 1:
        return hits[0]
    if hits:
        many = sorted({*(hit.id for hit in hits), *rested[_LOOKED_AT:]})
        raise UsageError(f"{prefix!r} matches {len(many)} letters: {', '.join(many[:4])}", "give more letters")
    raise UsageError(f"there is no letter {prefix!r}", "see them with: swarm mail list")


def _sent(state: State, event: Event[MailSent]) -> None:
    letter = state.letter(event.id)
    letter.sent = event
    state.index(letter)


def _delivered(state: State, event: Event[MailDelivered]) -> None:
    letter = state.letter(event.data.letter)
    _keep(letter.delivered, event.data.reader, event)
    state.index(letter)


def _acked(state: State, event: Event[MailAcked]) -> None:
    letter = state.letter(event.data.letter)
    _keep(letter.acked, event.data.reader, event)
    state.index(letter)


def _dead(state: State, event: Event[MailDeadLettered]) -> None:
    letter = state.letter(event.data.letter)
    _keep(letter.dead, event.data.recipient, event)
    state.index(letter)


def _keep(newest: dict[str, Event[F]], who: str, event: Event[F]) -> None:
    held = newest.get(who)
    if held is None or held.id < event.id:
        newest[who] = event


ON: Mapping[type[Fact], Handler] = {
    MailSent: _sent,
    MailDelivered: _delivered,
    MailAcked: _acked,
    MailDeadLettered: _dead,
}
