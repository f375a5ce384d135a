"""Letters: what is unread for whom, how it reads in a list and in an agent's prompt, and what to do with dead ones.

Rule: a letter is marked only after its text was written out, so this room only says which facts to append then.
"""

from typing import Any

from ..eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from ..eventlog.text import printable
from ..projections import Board, mail
from .addresses import HUMAN, Reader, address_of, is_dead, reaches, shared


def unread(board: Board, who: Reader) -> list[mail.Letter]:
    """What that reader has not had yet: most urgent first, then oldest."""
    state = board[mail.State]
    for address, since in shared(who):
        state.fetch(address, since)
    found = [letter for letter in state.sent() if not letter.taken(who.address) and is_for(letter, who)]
    return sorted(found, key=lambda letter: (letter.sent.data.priority if letter.sent else 0, letter.id))


def is_for(letter: mail.Letter, who: Reader) -> bool:
    """Whether that reader may have it: what was called dead, for them or for the group they are in, stays dead."""
    sent = letter.sent
    if sent is None or who.address in letter.dead:
        return False
    return reaches([to for to in sent.data.to if to not in letter.dead], sent.source, letter.id, who)


def waiting_for(board: Board, actor: str) -> list[mail.Letter]:
    """The letters by name to an actor that it has not taken note of, oldest first. Cheap: only unsettled ones are
    looked at.
    """
    waiting = sorted(board[mail.State].unsettled.values(), key=lambda letter: letter.id)
    return [letter for letter in waiting if letter.sent and actor in letter.sent.data.to and not letter.taken(actor)]


def delivered(letters: list[mail.Letter], who: Reader) -> list[MailDelivered]:
    """The facts to append once their text was written out. Ask with the log locked: what was called dead, or read,
    meanwhile has its mark.
    """
    return [
        MailDelivered(letter=letter.id, reader=who.address)
        for letter in letters
        if not letter.taken(who.address) and is_for(letter, who)
    ]


def acked(letter: mail.Letter, who: Reader) -> list[MailAcked]:
    """The fact to append when the reader has read it on purpose, if it is not there. Ask with the log locked."""
    if who.address in letter.acked or not is_for(letter, who):
        return []
    return [MailAcked(letter=letter.id, reader=who.address)]


def undeliverable(board: Board, letter: mail.Letter) -> list[MailDeadLettered]:
    """One fact for each recipient whom the letter can no longer reach and who has not had it."""
    if letter.sent is None:
        return []
    facts = []
    for address in letter.sent.data.to:
        why = is_dead(board, address, letter.sent.source, letter.id) if letter.awaits(address) else ""
        if why:
            facts.append(MailDeadLettered(letter=letter.id, recipient=address, reason=why))
    return facts


def notices(dead: MailDeadLettered, sent: MailSent, sender: str) -> MailSent | None:
    """The letter that tells the sender and the person about a dead one; None if it was such a notice itself."""
    if sent.kind == "event" and sent.body.startswith(_NOTICE):
        return None
    to = list(dict.fromkeys([address_of(sender), HUMAN]))
    body = f"{_NOTICE} to {dead.recipient}: {dead.reason}.\n\n{sent.body[:2000]}"
    return MailSent(to=to, body=body, kind="event", issue=sent.issue, reply_to=dead.letter)


_NOTICE = "Undeliverable letter"


def row(letter: mail.Letter) -> dict[str, Any]:
    """One entry of `swarm mail list --json`."""
    sent = letter.sent
    if sent is None:
        return {"id": letter.id, "status": letter.status}
    return {
        "id": letter.id,
        "from": address_of(sent.source),
        "to": sent.data.to,
        "type": sent.data.kind,
        "priority": sent.data.priority,
        "issue": sent.data.issue,
        "body": sent.data.body,
        "status": letter.status,
        "at": sent.time,
    }


def prompt_text(letters: list[mail.Letter]) -> str:
    """The letters as an agent's prompt should show them: who, what, and how to answer."""
    if not letters:
        return ""
    many = "1 new message" if len(letters) == 1 else f"{len(letters)} new messages"
    parts = [f"You have {many}."]
    for number, letter in enumerate(letters, 1):
        entry = row(letter)
        about = f", about {entry['issue']}" if entry["issue"] else ""
        head = f"[{number}] from {entry['from']}, {entry['type']}{about}, {entry['at']}, id {letter.id}"
        parts.append(f"{head}\n{printable(entry['body'])}")
    last = row(letters[-1])
    parts.append(f"To answer: swarm mail send --to {last['from']} --reply-to {letters[-1].id} --body TEXT")
    return "\n\n".join(parts) + "\n"
