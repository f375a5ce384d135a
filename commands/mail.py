"""Letters between agents, actors and people: send, list, show, read, check."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, flock

import click

from ..eventlog.errors import LogError, UsageError
from ..eventlog.events import MailAcked, MailDelivered, MailSent
from ..eventlog.files import Draft
from ..eventlog.place import Place
from ..eventlog.text import printable
from ..mailbox import addresses, letters
from ..projections import RECENT, Board, issues, mail
from . import Home, as_json, body_of, emit, put, say, table, whoami

GROUP = "Work"
MAILBOX = ("agents", "mail")
"""The projections that say who has which letter."""


@click.group()
def command() -> None:
    """Letters between agents, actors and people: send, list, show, read, check.

    Addresses: coordinator, merger, watchdog, human, agent-NAME, issue:ID, broadcast, @builders, @scouts. Works from
    any worktree, with or without a running swarm. An id may be shortened to any unique prefix.
    """


# --- sending --------------------------------------------------------------------------------------


@command.command()
@click.option("--to", multiple=True, required=True, metavar="ADDRESS", help="May be given several times.")
@click.option("--from", "from_", default="", metavar="ADDRESS", help="Found from where you are.")
@click.option("--type", "kind", type=click.Choice(addresses.KINDS), default="event", help="Default: event.")
@click.option("--priority", type=click.IntRange(1, 5), default=3, help="1 is the most urgent (default 3).")
@click.option("--issue", default="", metavar="ID", help="What it is about (default: that of --reply-to, or your own).")
@click.option("--reply-to", default="", metavar="ID")
@click.option("--body", required=True, metavar="TEXT|-", help="-: from stdin.")
def send(to: Sequence[str], from_: str, kind: str, priority: int, issue: str, reply_to: str, body: str) -> int:
    """Send a letter; prints its id.

    An unknown recipient is refused. A group is those who are at work now. Where nobody is at work who could get it,
    that is said, and the letter is kept as undeliverable.
    """
    home = Home()
    sender = _mailbox(home, from_, "--from")
    text = body_of(body, "letter")
    if not text.strip():
        raise UsageError("the letter is empty", "--body TEXT, or --body - to take it from standard input")
    letter = MailSent(to=list(dict.fromkeys(to)), body=text, kind=kind, priority=priority, issue=_own_issue())
    names = _needed(letter.to, issue, reply_to)
    if names:
        letter = _resolved(home.board(names), letter, issue, reply_to)
    source = addresses.source_of(sender)
    sent = home.append(source, [(letter.issue, letter)], cause=letter.reply_to)[0]
    doubtful = any(names and addresses.is_dead(home.board(names), to, source, sent.id) for to in letter.to)
    lost = _bury(home, sent.id, source) if doubtful else []
    if lost:
        click.echo(f"swarm: kept as undeliverable: {', '.join(lost)}", err=True)
    click.echo(sent.id)
    return 1 if lost else 0


def _needed(to: Sequence[str], issue: str, reply_to: str) -> tuple[str, ...]:
    """The projections without which the letter cannot be judged: none for those who can always have it."""
    strange = [address for address in to if address not in (*addresses.ACTORS, addresses.HUMAN)]
    wanted = {
        "agents": not all(address.startswith("issue:") for address in strange),
        "issues": bool(issue) or any(address.startswith("issue:") for address in strange),
        "mail": bool(reply_to),
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def _resolved(board: Board, letter: MailSent, issue: str, reply_to: str) -> MailSent:
    """The letter with its recipients checked and ids in full, about what it answers unless something else is named."""
    from msgspec.structs import replace

    to = list(dict.fromkeys(addresses.check_recipient(board, address) for address in letter.to))
    about = issues.find(board[issues.State], issue).id if issue else ""
    if not reply_to:
        return replace(letter, to=to, issue=about or letter.issue)
    answered = mail.find(board[mail.State], reply_to)
    inherited = answered.sent.data.issue if answered.sent else ""
    return replace(letter, to=to, issue=about or inherited or letter.issue, reply_to=answered.id)


def _own_issue() -> str:
    """The issue that an agent's environment names."""
    return os.environ.get("SWARM_ISSUE", "") if os.environ.get("SWARM_AGENT") else ""


def _bury(home: Home, letter_id: str, source: str) -> list[str]:
    """Write down whom the letter cannot reach, and tell its sender and the person, unless a watchdog was quicker.

    Returns why it is lost: empty if a reader was quicker.
    """

    def ask(board: Board) -> list[Draft]:
        letter = board[mail.State].letters[letter_id]
        drafts = []
        for dead in letters.undeliverable(board, letter):
            notice = letters.notices(dead, letter.sent.data, letter.sent.source) if letter.sent else None
            if notice:  # first: a kill may cut it: rather twice than never
                drafts.append(Draft(notice, source, notice.issue, causationid=letter_id))
            drafts.append(Draft(dead, source, letter_id, causationid=letter_id))
        return drafts

    known = ("issues", *MAILBOX)
    home.decide(known, ask)
    return [dead.data.reason for dead in home.board(known)[mail.State].letters[letter_id].dead.values()]


def _mailbox(home: Home, given: str, option: str) -> str:
    """The address under which one writes or reads: one's own, or the one given. An agent has no other than its own."""
    own = addresses.address_of(whoami(home.place))
    wanted = addresses.mailbox_of(given) if given else own
    if wanted != own and own.startswith("agent-"):
        raise UsageError(f"you are {own}, and not {wanted}", f"leave {option} out")
    return wanted


# --- looking --------------------------------------------------------------------------------------


@command.command("list")
@click.option("--to", default="", metavar="ADDRESS", help="Only those addressed so.")
@click.option("--from", "from_", default="", metavar="ADDRESS")
@click.option("--type", "kind", type=click.Choice(addresses.KINDS))
@click.option("--issue", default="", metavar="ID")
@click.option("--unread", is_flag=True, help="That nobody has had; with --to: that this reader has not had.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The newest N.")
@as_json
def list_(to: str, from_: str, kind: str | None, issue: str, unread: bool, limit: int | None, json_: bool) -> None:
    """The letters, oldest first."""
    board = Home().board(("issues", *MAILBOX), whole=not unread)
    if issue:
        issue = issues.find(board[issues.State], issue).id
    to = addresses.check_recipient(board, to) if to else ""
    from_ = addresses.mailbox_of(from_) if from_ else ""
    rows = [
        row
        for row in map(letters.row, _addressed(board, to, unread))
        if (not from_ or row["from"] == from_)
        and (not kind or row["type"] == kind)
        and (not issue or row["issue"] == issue)
    ][-limit if limit else 0 :]
    if json_:
        emit(rows)
    elif rows:
        keys = ("id", "at", "from", "to", "type", "status", "body")
        table([[", ".join(row[key]) if key == "to" else row[key] for key in keys] for row in rows], keys)
    else:
        say("no such letter; write one:  swarm mail send --to coordinator --body TEXT")


def _addressed(board: Board, to: str, unread: bool) -> list[mail.Letter]:
    """The letters with that address, oldest first; unread: those that its owner has not had, or else nobody has."""
    if unread and (to in (*addresses.ACTORS, addresses.HUMAN) or to.startswith("agent-")):
        return sorted(letters.unread(board, addresses.reader(board, to)), key=lambda letter: letter.id)
    found = [one for one in board[mail.State].sent() if not to or (one.sent and to in one.sent.data.to)]
    return [letter for letter in found if not unread or letter.status == mail.UNREAD]


@command.command()
@click.argument("n", type=click.IntRange(1), default=10)
@as_json
def show(n: int, json_: bool) -> None:
    """The last N letters (10), whole. It marks nothing as read."""
    found = list(Home().board(("mail",), whole=n > RECENT)[mail.State].sent())[-n:]
    if json_:
        emit([letters.row(letter) for letter in found])
    else:
        say(_text(found) if found else "no letter yet; write one:  swarm mail send --to coordinator --body TEXT")


def _text(found: Sequence[mail.Letter]) -> str:
    parts = []
    for row in map(letters.row, found):
        about = f", about {row['issue']}" if row["issue"] else ""
        head = f"{row['at']}  {row['from']} to {', '.join(row['to'])}: {row['type']}{about}, priority {row['priority']}"
        parts.append(f"{head}, {row['status']}\n{row['id']}\n\n{row['body'].rstrip()}\n")
    return "\n".join(parts)


# --- reading: what is read is marked, once its text has left this process -------------------------


@command.command()
@click.argument("id")
@as_json
def read(id: str, json_: bool) -> None:  # noqa: A002
    """Print one letter, and mark it as read if it is for you."""
    home = Home()
    source = whoami(home.place)
    address = addresses.address_of(source)
    with _turn(home.place, address):
        board = home.board(MAILBOX)
        letter = mail.find(board[mail.State], id)
        who = addresses.reader(board, address)
        if json_:
            emit(letters.row(letter))
        else:
            put(printable(_text([letter])).encode())
        if letters.acked(letter, who):
            _mark(home, source, lambda: letters.acked(letter, who))
        elif address not in letter.acked:
            why = "kept as undeliverable" if letter.status == mail.DEAD else f"not addressed to {address}"
            click.echo(f"{why}: not marked as read", err=True)


@command.command()
@click.option("--to", default="", metavar="ADDRESS", help="Whose mail (default: your own).")
@click.option("--inject", is_flag=True, help="In a form for an agent's prompt; nothing at all if nothing is unread.")
@as_json
def check(to: str, inject: bool, json_: bool) -> None:
    """Print what is unread, and mark it as delivered.

    Marked is only what was written out. Any number of readers of one mailbox may check at once: each letter is given
    to one of them.
    """
    home = Home()
    address = _mailbox(home, to, "--to")
    with _turn(home.place, address):
        board = home.board(MAILBOX)
        if to:
            addresses.check_recipient(board, address)
        who = addresses.reader(board, address)
        found = letters.unread(board, who)
        if json_:
            emit([letters.row(letter) for letter in found])
        elif found:
            put((letters.prompt_text(found) if inject else printable(_text(found))).encode())
        elif not inject:
            click.echo(f"nothing is unread for {address}", err=True)
        if found:
            _mark(home, whoami(home.place), lambda: letters.delivered(found, who))


def _mark(home: Home, source: str, ask: Callable[[], Sequence[MailAcked | MailDelivered]]) -> None:
    """Append what is asked with the log locked and the letters of `home.board(MAILBOX)` up to date."""

    def asked(_board: Board) -> list[Draft]:
        return [Draft(mark, source, mark.letter, causationid=mark.letter) for mark in ask()]

    home.decide(MAILBOX, asked)


@contextmanager
def _turn(place: Place, address: str) -> Iterator[None]:
    """One reader of a mailbox at a time. The log is not locked while one writes to who knows what."""
    path = os.path.join(place.locks, f"mail-{address}.lock")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LogError(f"cannot lock the mailbox {address} with {path}: {error.strerror}", "swarm init") from error
    try:
        flock(fd, LOCK_EX)
        yield
    finally:
        os.close(fd)
