"""Mail: letters, and what became of each. Rule: a letter is unread until an event says that it was written out
(delivered), read on purpose (acked) or cannot arrive (dead); all three are per reader, so four readers of one letter
do not race.

Who a letter reaches is not known here: that is `mailbox/`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from ..eventlog.fact import Event, Fact
from . import Handler

UNREAD, DELIVERED, ACKED, DEAD = "unread", "delivered", "acked", "dead"


class Letter(msgspec.Struct):
    """One letter. `sent` is None in a placeholder (its reading was seen before its sending)."""

    id: str
    sent: Event[MailSent] | None = None
    delivered: dict[str, str] = msgspec.field(default_factory=dict)
    acked: dict[str, str] = msgspec.field(default_factory=dict)
    dead: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)

    def taken(self, reader: str) -> bool:
        """Whether that reader has had it."""
        return reader in self.delivered or reader in self.acked

    def awaits(self, address: str) -> bool:
        """Whether that recipient has not had it and is not known to be gone. One that many share (an issue, a group)
        has had it once any agent has, and broadcast also once the person has.
        """
        if address in self.dead:
            return False
        had = {*self.delivered, *self.acked}
        if address.startswith(("issue:", "@")) or address == "broadcast":
            return not any(by.startswith("agent-") or (by, address) == ("human", "broadcast") for by in had)
        return address not in had

    @property
    def status(self) -> str:
        """unread, delivered, acked or dead: the furthest that any reader got."""
        if self.acked:
            return ACKED
        if self.delivered:
            return DELIVERED
        return DEAD if self.dead else UNREAD


class State:
    """All letters. `unsettled` are those of which a recipient has neither had it nor is known to be gone."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.unsettled: dict[str, Letter] = {}

    def letter(self, letter_id: str) -> Letter:
        """The letter, made as a placeholder if its sending has not been seen."""
        if letter_id not in self.letters:
            self.letters[letter_id] = Letter(letter_id)
        return self.letters[letter_id]

    def sent(self) -> Iterator[Letter]:
        """The letters, oldest first."""
        return iter(sorted((letter for letter in self.letters.values() if letter.sent), key=lambda letter: letter.id))


def find(state: State, prefix: str) -> Letter:
    """The one letter whose id starts (or, being short, ends) so; raises UsageError with the candidates."""
    wanted = prefix.lower()
    hits = [
        letter for letter in state.sent() if wanted and (letter.id.startswith(wanted) or letter.id.endswith(wanted))
    ]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise UsageError(
            f"{prefix!r} matches {len(hits)} letters: {', '.join(hit.id for hit in hits[:4])}",
            "give more letters",
        )
    raise UsageError(f"there is no letter {prefix!r}", "see them with: swarm mail list")


def _index(state: State, letter: Letter) -> None:
    if letter.sent and any(letter.awaits(address) for address in letter.sent.data.to):
        state.unsettled[letter.id] = letter
    else:
        state.unsettled.pop(letter.id, None)


def _sent(state: State, event: Event[MailSent]) -> None:
    letter = state.letter(event.id)
    letter.sent = event
    _index(state, letter)


def _delivered(state: State, event: Event[MailDelivered]) -> None:
    letter = state.letter(event.data.letter)
    letter.delivered[event.data.reader] = max(letter.delivered.get(event.data.reader, ""), event.id)
    _index(state, letter)


def _acked(state: State, event: Event[MailAcked]) -> None:
    letter = state.letter(event.data.letter)
    letter.acked[event.data.reader] = max(letter.acked.get(event.data.reader, ""), event.id)
    _index(state, letter)


def _dead(state: State, event: Event[MailDeadLettered]) -> None:
    letter = state.letter(event.data.letter)
    known = letter.dead.get(event.data.recipient, ("", ""))
    letter.dead[event.data.recipient] = max(known, (event.id, event.data.reason))
    _index(state, letter)


ON: Mapping[type[Fact], Handler] = {
    MailSent: _sent,
    MailDelivered: _delivered,
    MailAcked: _acked,
    MailDeadLettered: _dead,
}
