"""The fast lane: `swarm mail send` and `swarm mail check` as agents call them at every step.

Rule: it does exactly what the whole command line would do, or it declines and has done nothing; in any doubt it
declines. So it knows plain cases alone: a letter to those who are always there, and a mailbox with nothing new in it.
It imports nothing that takes time: click and msgspec take longer to load than Python itself.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring, make_scanner
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from time import gmtime, strftime, time

from .errors import NotDurable
from .suspects import may_hold

try:
    from _blake2 import blake2b  # hashlib gives the same, after loading OpenSSL
except ImportError:
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

_ALWAYS = ("coordinator", "merger", "watchdog", "human")
_GROUPS = ("broadcast", "@builders", "@scouts")
_KINDS = ("progress", "blocked", "help_request", "handoff", "event")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_SEND = dict.fromkeys(("--to", "--type", "--priority", "--body"), True)
_CHECK = {"--to": True, "--inject": False, "--json": False}
"""The options that are known here, and whether they take a value."""
_LONGEST_BODY, _LONGEST_LINE, _DEEPEST, _FULL = 60_000, 64 * 1024, 64, 1024 * 1024
_END_CLOCK = 4_102_444_800_000 << 12  # the year 2100, as the first 60 bits of an id
_MOST = 8 * 1024 * 1024
"""Bytes of a log that are looked through. Of a longer one, a checkpoint is read sooner."""
_FEW = 2000
"""Bytes of a file for each of its letters, from which on they are picked out one by one."""
_MACHINE = "/etc/machine-id"
_HEAD, _AUTHOR, _ESCAPED = b'{"type":"', b'"source":', "\\u00"


class _Declined(Exception):
    """Raised where the whole command line must do it."""


_DOUBTS = (_Declined, OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration)
"""Whatever is not as expected: an unknown option, a file that is not there, a line that cannot be understood."""


def take(
    args: Sequence[str],
    env: Mapping[str, str],
    now: Callable[[], float] = time,
    entropy: Callable[[], int] = lambda: int.from_bytes(os.urandom(8), "big"),
) -> int | None:
    """Do what the command line says; returns the exit code. None: it is declined, and nothing was done.

    `now` gives Unix seconds, `entropy` 46 or more random bits. Raises NotDurable where the letter is in the log and
    could not be synced, OSError where its id could not be printed.
    """
    if not (sys.stdout and sys.stderr):  # closed: a file of ours would get the number of a standard stream
        return None
    try:
        if args[:2] == ["mail", "send"]:
            out, words = sys.stdout, _send(_options(args[2:], _SEND), env, now, entropy)
        elif args[:2] == ["mail", "check"]:
            out, words = sys.stderr, _check(_options(args[2:], _CHECK), env)
        else:
            return None
    except _DOUBTS:
        return None
    out.write(words)
    out.flush()
    return 0


def _options(words: Sequence[str], known: Mapping[str, bool]) -> dict[str, list[str]]:
    """Option -> the values given."""
    found: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        name, given, value = word.partition("=")
        if given and not known[name]:
            raise _Declined
        found.setdefault(name, []).append(value if given or not known[name] else next(rest))
    return found


# --- where, and who -------------------------------------------------------------------------------


def _place(env: Mapping[str, str]) -> tuple[str, str]:
    """(main work tree, the log's folder), where git's common directory is the `.git` of that work tree."""
    if env.get("SWARM_LOG"):
        log = os.path.realpath(env["SWARM_LOG"])
        root, git = os.path.split(os.path.dirname(os.path.dirname(log)))
        if git != ".git":
            raise _Declined
        return root, log
    root = os.path.realpath(os.getcwd())
    while not os.path.isfile(os.path.join(root, ".git", "HEAD")):
        if root == "/" or os.path.lexists(os.path.join(root, ".git")) or os.path.lexists(os.path.join(root, "HEAD")):
            raise _Declined
        root = os.path.dirname(root)
    if b"bare=true" in _content(os.path.join(root, ".git", "config")).replace(b" ", b"").lower():
        raise _Declined
    return root, os.path.join(root, ".git", "swarm", "log")


def _node(log: str) -> str:
    """The name of this clone, if the file that says so has the very bytes that are expected."""
    home = os.path.dirname(log)
    status = os.stat(home)
    machine = _content(_MACHINE).decode("ascii", "replace").strip() if os.path.exists(_MACHINE) else ""
    kept = _content(os.path.join(home, "node.json")).decode()
    node = kept[9 : kept.index('"', 9)]
    here = encode_basestring(machine or os.uname().nodename)
    expected = f'{{"node":"{node}","machine":{here},"device":{status.st_dev},"inode":{status.st_ino}}}\n'
    if kept != expected or "\\" in node or not node:
        raise _Declined
    return node


def _whoami(root: str, env: Mapping[str, str]) -> str:
    """The address of the agent that the environment names; else the person's, outside of every agent's worktree."""
    if env.get("SWARM_AGENT"):
        name = env["SWARM_AGENT"].removeprefix("agent-")
        if not _NAME.issuperset(name) or not (name[0] + name[-1]).isalnum() or len(name) > 48:
            raise _Declined
        return f"agent-{name}"
    if os.path.realpath(os.getcwd()).startswith(os.path.realpath(f"{root}/.swarm/worktrees") + os.sep):
        raise _Declined
    return "human"


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# --- sending --------------------------------------------------------------------------------------


def _send(
    options: Mapping[str, list[str]], env: Mapping[str, str], now: Callable[[], float], entropy: Callable[[], int]
) -> str:
    """Append the letter; returns its id, as a line."""
    root, log = _place(env)
    issue = env.get("SWARM_ISSUE", "") if env.get("SWARM_AGENT") else ""
    author = f'"source":"{_whoami(root, env).replace("-", "/", 1)}"'
    about = f',"subject":{encode_basestring(issue)}' if issue else ""
    data, synced, node = _letter(options, issue, env), _is_synced(root, env), _node(log)

    def line(last: str, prev: str) -> tuple[str, bytes]:
        id_, at = _minted(last, node, now(), entropy())
        head = f'"type":"mail.sent","id":"{id_}","time":"{at}",{author}{about},"prev":"{prev}"'
        return id_, f'{{{head},"data":{data}}}\n'.encode()

    return _append(os.path.join(log, f"{node}.jsonl"), line, synced) + "\n"


def _letter(options: Mapping[str, list[str]], issue: str, env: Mapping[str, str]) -> str:
    """The fact as JSON, without what is as usual."""
    to = list(dict.fromkeys(options["--to"]))
    body, kind = options["--body"][-1], options.get("--type", ["event"])[-1]
    priority = options.get("--priority", ["3"])[-1]
    if not set(to).issubset(_ALWAYS) or kind not in _KINDS or priority not in tuple("12345"):
        raise _Declined
    text = encode_basestring(body)
    if may_hold(body, env) or body == "-" or not body.strip() or len(text.encode()) > _LONGEST_BODY:
        raise _Declined
    names = ",".join(f'"{address}"' for address in to)
    unusual = f',"kind":"{kind}"' if kind != "event" else ""
    unusual += f',"priority":{priority}' if priority != "3" else ""
    unusual += f',"issue":{encode_basestring(issue)}' if issue else ""
    return f'{{"to":[{names}],"body":{text}{unusual}}}'


def _is_synced(root: str, env: Mapping[str, str]) -> bool:
    """Whether what is appended is to be synced, where nothing has to be parsed to know it."""
    given = env.get("SWARM_DURABILITY", "")
    if given not in ("", "fsync", "group", "none"):
        raise _Declined
    settings = os.path.join(root, "swarm.toml")
    if not given and os.path.lexists(settings) and b"durability" in _content(settings):
        raise _Declined
    return given != "none"


def _minted(last: str, node: str, now: float, entropy: int) -> tuple[str, str]:
    """An id greater than the last one, and its time in words."""
    clock = max(int(now * 1000) << 12, _clock_of(last) + 1)
    if not 0 < clock <= min(_END_CLOCK, int(now + 86_400) * 1000 << 12):  # is it the clock, or the last line?
        raise _Declined
    bits = int.from_bytes(blake2b(node.encode(), digest_size=2).digest(), "big")
    low = 1 << 63 | bits << 46 | entropy & (1 << 46) - 1
    digits = f"{clock >> 12 << 80 | (0x7000 | clock & 0xFFF) << 64 | low:032x}"
    seconds, thousandth = divmod(clock >> 12, 1000)
    return _spelled(digits), f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{thousandth:03}Z"


def _spelled(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _clock_of(id_: str) -> int:
    return int(id_[:8] + id_[9:13] + id_[15:18], 16)


def _append(path: str, line: Callable[[str, str], tuple[str, bytes]], synced: bool) -> str:
    """Lock the file and write the line that follows its last; returns the id."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX)
        here = os.stat(path)
        if not os.path.samestat(here, os.fstat(fd)) or here.st_size >= _FULL:
            raise _Declined
        last = _last_line(fd, here.st_size)
        id_, text = line(_event(last)["id"], blake2b(last, digest_size=8).hexdigest())
        if len(text) > _LONGEST_LINE:
            raise _Declined
        if os.write(fd, text) < len(text):
            os.ftruncate(fd, here.st_size)
            if synced:  # or it may mix with the next line when the power goes
                os.fdatasync(fd)
            raise _Declined
    except BaseException:
        os.close(fd)  # and with it the lock, for which the whole command line would wait
        raise
    _let_go(fd, path, synced)
    return id_


def _last_line(fd: int, size: int) -> bytes:
    """The last line, without its newline."""
    start = max(0, size - _LONGEST_LINE - 1)
    lines = os.pread(fd, size - start, start).split(b"\n")
    if lines[-1] or len(lines) < (3 if start else 2):
        raise _Declined
    return lines[-2]


def _let_go(fd: int, path: str, synced: bool) -> None:
    """Give the lock up and, without it, sync the line and the name of its file."""
    try:
        flock(fd, LOCK_UN)
        if synced:
            os.fdatasync(fd)
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        os.close(fd)
    except OSError as error:
        raise NotDurable(f"{error.strerror}: what was written to {path} may not survive a loss of power") from error


# --- checking -------------------------------------------------------------------------------------


def _check(options: Mapping[str, list[str]], env: Mapping[str, str]) -> str:
    """The words that say that nothing is unread; declined if anything may be."""
    root, log = _place(env)
    own, given = _whoami(root, env), options.get("--to", [""])[-1]
    if given and (own != "human" or given not in _ALWAYS):
        raise _Declined
    address = given or own
    turn = os.path.join(os.path.dirname(log), "locks", f"mail-{address}.lock")
    fd = os.open(turn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        if _may_be_unread(_files(log), address):
            raise _Declined
        if "--json" in options:
            os.write(sys.stdout.fileno(), b"[]\n")
    finally:
        os.close(fd)
    return "" if "--json" in options or "--inject" in options else f"nothing is unread for {address}\n"


def _files(log: str) -> list[bytes]:
    """What the files hold, if their last lines are whole."""
    there = sorted(os.listdir(log))
    paths = [os.path.join(log, name) for name in there if name.endswith(".jsonl") and not name.startswith(".")]
    if not all(map(os.path.isfile, paths)) or sum(map(os.path.getsize, paths)) > _MOST:
        raise _Declined
    files = [content for content in map(_content, paths) if content]
    if sorted(os.listdir(log)) != there or any(content[-1:] != b"\n" for content in files):
        raise _Declined  # (a file that was sealed meanwhile was perhaps read under neither name)
    return files


def _may_be_unread(files: Sequence[bytes], address: str) -> bool:
    """Whether there may be a letter for that reader that it has not had."""
    agent = address[6:] if address.startswith("agent-") else ""
    groups = _GROUPS if agent else _GROUPS[: address == "human"]
    wanted = [f'"{address}"', *(f'"{group}"' for group in groups), *['"issue:'] * bool(agent), _ESCAPED]
    if not (letters := _found(map(_narrowed, files), "mail.sent", wanted)):
        return False
    gone = set()
    had = f'"reader":"{address}"'
    for kind, text in (("dead_lettered", "dead_lettered"), ("delivered", had), ("acked", had)):
        for data in map(_mark, _found(files, f"mail.{kind}", [text])):
            if data.get("reader", address) == address:
                gone.add((data["letter"], data.get("recipient", address)))
    assigned = _found(files, "issue.assigned", [f'"{agent}"', _ESCAPED]) if agent else []
    issues = {f"issue:{event.get('subject', '')}" for event in assigned}
    since = "" if address == "human" else min((event["id"] for event in assigned), default="~")
    for letter in letters:
        to = {name for name in letter["data"]["to"] if (letter["id"], name) not in gone}
        named = address in to or to & issues
        shared = to.intersection(groups) and letter["source"] != address.replace("-", "/", 1)
        if (letter["id"], address) not in gone and (named or (shared and letter["id"] > since)):
            return True
    return False


def _mark(event: Mapping[str, Any]) -> dict[str, str]:
    """What became of a letter: the data, if they are what that type has and no more."""
    data: dict[str, str] = event["data"]
    fields = {"letter", "recipient", "reason"} if event["type"] == "mail.dead_lettered" else {"letter", "reader"}
    if data.keys() != fields or any(type(value) is not str for value in data.values()):
        raise _Declined
    return data


# --- lines ----------------------------------------------------------------------------------------


def _narrowed(file: bytes) -> bytes:
    """The lines of a file that are letters, where they are few and all lines begin as ours; else all of it."""
    head = _HEAD + b'mail.sent"'
    few = file.count(head) * _FEW < len(file)
    if not few or not file.startswith(_HEAD) or file.count(b"\n" + _HEAD) != file.count(b"\n") - 1:
        return file
    return b"".join([line + b"\n" for line in _lines(file, head)])


def _found(files: Iterable[bytes], kind: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The events of a type that have one of these texts in their line, other than as their author."""
    lines = dict.fromkeys(line for file in files for text in texts for line in _lines(file, text.encode()))
    if not all(line.startswith(_HEAD) for line in lines):
        raise _Declined
    head = _HEAD + f'{kind}"'.encode()
    return [_event(line) for line in lines if line.startswith(head)]


def _lines(file: bytes, text: bytes) -> Iterator[bytes]:
    """The lines that have this text."""
    at = file.find(text)
    while at >= 0:
        end = at + 1
        if not file.startswith(_AUTHOR, max(0, at - len(_AUTHOR))):
            end = file.find(b"\n", at)
            yield file[file.rfind(b"\n", 0, at) + 1 : end]
        at = file.find(text, end)


def _event(line: bytes) -> dict[str, Any]:
    """The event of a line that is one without any doubt, as plain JSON."""
    text = line.decode()
    strange = "\\ud" in text or "\\uD" in text or not line.startswith(_HEAD)  # (half of a character is no text)
    if strange or len(line) > _LONGEST_LINE or text.count("[") + text.count("{") > _DEEPEST:
        raise _Declined
    event: dict[str, Any]
    event, end = make_scanner(_Json)(text, 0)  # type: ignore[arg-type]
    digits = event["id"].replace("-", "")
    if (
        end != len(text)
        or not {"type", "id", "time", "source", "data"} <= event.keys()
        or any(type(value) is not _SHAPE[name] for name, value in event.items())
        or any(type(value) is not str for value in event.get("seen", {}).values())
        or (event["id"], digits) != (_spelled(digits), f"{int(digits, 16):032x}")
        or (digits[12], digits[16] in "89ab") != ("7", True)
        or not (_clock_of(event["id"]) <= _END_CLOCK and abs(event.get("now", 0.0)) < 1e300)
    ):
        raise _Declined
    return event


_TEXTS = "type id time source subject causationid correlationid prev"
_SHAPE: dict[str, type] = {**dict.fromkeys(_TEXTS.split(), str), "seen": dict, "now": float, "data": dict}


class _Json:
    """How the scanner of the standard library reads: what msgspec might take in another way is declined."""

    strict, object_hook, parse_constant, parse_int, parse_float = True, None, None, int, float

    @staticmethod
    def object_pairs_hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _Declined
        return found
