"""One command line done twice in the same place: by the whole command line, and by the fast lane; and lines to do it
on. Rule: what is compared is all there is: exit code, standard output, standard error, and every byte of the log.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from swarm.cli import run
from swarm.eventlog import lane
from swarm.eventlog import place as places
from swarm.eventlog.events import IssueAssigned, MailAcked, MailDeadLettered, MailDelivered, MailSent
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import encode, envelope
from swarm.eventlog.place import Place
from swarm.world.clock import entropy

import repository
from given import id_of

Files = Mapping[str, bytes]

ALWAYS = ("coordinator", "merger", "watchdog", "human")
NONE = {"SWARM_DURABILITY": "none"}
KIM = NONE | {"SWARM_AGENT": "kim"}
FOREIGN = f"n0123456789ab-{id_of(0)}.jsonl"
"""A file of another clone."""


class Done(NamedTuple):
    """What came of it; `code` is None where it was declined."""

    code: int | None
    out: str
    err: str
    files: Files


def ready(folder: Path) -> Place:
    """A repository that is ready for a swarm, with a worktree of an agent."""
    scratch = repository.make(folder)
    place = places.find(str(scratch.root), {}, initialised=False)
    places.initialise(place, entropy)
    scratch.git("worktree", "add", "--quiet", "-b", "one", os.path.join(place.worktrees, "sw-a-1"))
    return place


def own(place: Place) -> str:
    """The name of this clone's growing file."""
    return f"{places.known_node(place)}.jsonl"


def taken(place: Place, files: Files, args: Sequence[str], env: Mapping[str, str], at: str = "") -> bool:
    """Whether the lane took it, the log holding `files`, and one standing in the folder `at` (else at the root).

    AssertionError if it did anything else than the whole command line, or declined after doing anything. It is given
    the clock and the random bits that the whole command line has used.
    """
    with _standing(at or place.root, env):
        put(place, files)
        whole = _done(place, lambda: run([*args]))
        now, bits = _used(files, whole.files)
        put(place, files)
        fast = _done(place, lambda: lane.take([*args], os.environ, lambda: now, lambda: bits))
    if fast.code is None:
        assert fast == Done(None, "", "", files)
        return False
    assert fast == whole
    return True


def put(place: Place, files: Files) -> None:
    """Have these files in the log, and nothing that was folded of others."""
    shutil.rmtree(os.path.join(place.home, "cache"), ignore_errors=True)
    for name in os.listdir(place.log):
        os.unlink(os.path.join(place.log, name))
    for name, content in files.items():
        Path(place.log, name).write_bytes(content)


def _done(place: Place, work: Callable[[], int | None]) -> Done:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+", errors="backslashreplace") as err:
        with redirect_stdout(out), redirect_stderr(err):
            code = work()
        out.seek(0)
        err.seek(0)
        files = {path.name: path.read_bytes() for path in Path(place.log).iterdir()}
        return Done(code, out.read(), err.read(), files)


def _used(before: Files, after: Files) -> tuple[float, int]:
    """The time and the random bits that are in the id of what was appended last."""
    for name, content in after.items():
        if content != before.get(name) and b'"id":"' in (last := content.splitlines()[-1]):
            digits = last.split(b'"id":"')[1][:36].decode().replace("-", "")
            return (int(digits[:12], 16) + 0.5) / 1000, int(digits[-12:], 16)
    return time.time(), 0


@contextmanager
def _standing(at: str, env: Mapping[str, str]) -> Iterator[None]:
    """In that folder, with those variables."""
    here, before = os.getcwd(), dict(os.environ)
    os.chdir(at)
    os.environ.update(env)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


# --- lines ----------------------------------------------------------------------------------------


def line(number: int, fact: Fact, source: str = "human", subject: str = "") -> bytes:
    """A line with the id of that number."""
    id_ = id_of(number)
    return encode(envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject))


def letter(number: int, *to: str, source: str = "human") -> bytes:
    """The line of a letter."""
    return line(number, MailSent(to=list(to), body="x"), source)


def had(number: int, of: int, reader: str, acked: bool = False) -> bytes:
    """The line that says that a reader has had the letter of that number."""
    return line(number, MailAcked(id_of(of), reader) if acked else MailDelivered(id_of(of), reader), reader)


def dead(number: int, of: int, recipient: str) -> bytes:
    """The line that says that a letter will not reach a recipient."""
    return line(number, MailDeadLettered(id_of(of), recipient, "gone"), "watchdog")


def given_to(number: int, agent: str, issue: str, role: str = "builder") -> bytes:
    """The line of an assignment."""
    return line(number, IssueAssigned(1, "", agent, role, "shell"), "coordinator", issue)


def spoiled(spoil: Callable[[str], str], text: bytes) -> bytes:
    """The line as nobody of ours has written it."""
    return spoil(text.decode()[:-1]).encode() + b"\n"


def _respaced(text: str) -> str:
    return json.dumps(json.loads(text))


def _reversed(text: str) -> str:
    """The same JSON with its keys the other way round, but the type first."""
    event = json.loads(text)
    event["data"] = dict(reversed(event["data"].items()))
    keys = ["type", *(key for key in reversed(event) if key != "type")]
    return json.dumps({key: event[key] for key in keys}, separators=(",", ":"), ensure_ascii=False)


def _in_data(more: str) -> Callable[[str], str]:
    return lambda text: text.replace("}}", f",{more}}}}}")


def _in_head(more: str) -> Callable[[str], str]:
    return lambda text: text.replace('"source"', f'{more},"source"', 1)


def _with(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


SPOILS: dict[str, Callable[[str], str]] = {
    "spaces": _respaced,
    "other order": _reversed,
    "space before": lambda text: " " + text,
    "space after": lambda text: text + " ",
    "byte order mark": lambda text: "\ufeff" + text,
    "escaped addresses": lambda text: text.replace("agent-kim", "agent-\\u006bim").replace("human", "hum\\u0061n"),
    "escaped words": lambda text: text.replace('"kim"', '"\\u006bim"').replace("issue:", "iss\\u0075e:"),
    "escaped key": _with('"to":', '"\\u0074o":'),
    "keys before": _with('"data":{', '"data":{"to":["coordinator"],"letter":"x","agent":"bob",'),
    "keys after": _in_data('"to":["human","agent-kim"],"reader":"agent-ann"'),
    "new keys": _in_data('"new":[1,2.5,-3e2,null,true,{"deep":{}}]'),
    "names within": _in_data('"new":{"reader":"agent-kim","to":["agent-kim"],"agent":"kim"}'),
    "NaN": _in_data('"odd":NaN'),
    "long number": _in_data('"odd":' + "9" * 400),
    "longest number": _in_data('"odd":' + "9" * 5000),
    "infinity": _in_data('"odd":1e999'),
    "half a character": _in_data('"half":"\\ud800"'),
    "HALF A CHARACTER": _in_data('"half":"\\uD800"'),
    "deep": _in_data('"deep":' + "[" * 99 + "]" * 99),
    "brackets": _in_data('"deep":"' + "[" * 99 + '"'),
    "new attribute": _with("}}", '},"new":1}'),
    "infinite now": _in_head('"now":1e999'),
    "large now": _in_head('"now":1e300'),
    "long now": _in_head('"now":' + "9" * 400),
    "odd seen": _in_head('"seen":{"n":1}'),
    "names in seen": _in_head('"seen":{"reader":"agent-kim"}'),
    "all attributes": _in_head('"seen":{"n":"x"},"now":0.5,"prev":"x"'),
    "second id": _in_head('"id":"twice"'),
    "second type": _in_head('"type":"mail.other"'),
    "odd source": _with('"source":"', '"source":7,"was":"'),
    "odd letter": _with('"letter":"', '"letter":7,"x":"'),
    "odd reader": _with('"reader":"', '"reader":7,"x":"'),
    "odd reason": _with('"reason":"gone"', '"reason":7'),
    "long reason": _with('"reason":"gone"', '"reason":"' + "x" * 1_100_000 + '"'),
    "no reason": _with('"reason":"', '"x":"'),
    "odd recipient": _with('"to":[', '"to":[7,'),
    "odd recipients": _with('"to":[', '"to":"agent-kim","x":['),
    "unknown type": _with('"type":"mail.', '"type":"post.'),
    "far id": _with('"id":"0', '"id":"f'),
    "upper case": _with('"id":"01', '"id":"0A'),
    "version 4": _with("-7000-", "-4000-"),
    "variant 7": _with("-7000-8", "-7000-7"),
    "hyphen": _with("-7000-", "7-000-"),
    "cut": lambda text: text[: len(text) // 2],
    "too much": lambda text: text + "}",
    "two": lambda text: text + text,
    "NUL": lambda text: text[:60] + "\0" + text[60:],
    "tab": lambda text: text[:60] + "\t" + text[60:],
    "empty": lambda _: "",
    "other": lambda _: "no line of ours",
}
"""Ways in which a line is not as ours."""
