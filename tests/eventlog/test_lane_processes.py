"""The fast lane as agents meet it: real processes, many at once, beside those of the whole command line; and installed
from a wheel, as it is promised to be fast.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import IO, Any

import pytest

import swarm
from swarm.eventlog import lane
from swarm.eventlog.errors import NotDurable
from swarm.eventlog.events import MailSent
from swarm.eventlog.place import Place
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify

from given import id_of
from lanes import KIM, NONE, letter, own, put, ready
from soak import amount
from waiting import until

FAST, WHOLE = ([sys.executable, "-P", "-m", name] for name in ("swarm", "swarm.cli"))
SEND = ["mail", "send", "--to", "human", "--body"]
HEAVY = {"click", "msgspec", "re", "json", "typing", "pathlib", "uuid", "hashlib", "datetime", "enum", "contextlib"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A repository with one letter in its log."""
    made = ready(tmp_path / "repo")
    put(made, {own(made): letter(0, "human")})
    return made


def started(place: Place, argv: Sequence[str], out: int | IO[bytes] = subprocess.PIPE, **env: str) -> Any:
    """The process, in the repository."""
    return subprocess.Popen(argv, cwd=place.root, stdout=out, stderr=subprocess.PIPE, env=os.environ | NONE | env)


def ended(process: Any) -> tuple[bytes, bytes]:
    """What it printed; AssertionError if it does not come to an end."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{process.args} does not end") from None
    return out, err


def test_two_hundred_at_once_lose_nothing_on_either_way(place: Place) -> None:
    ways = [(FAST if number % 4 else WHOLE, str(number)) for number in range(amount(ci=60, full=200))]
    running = [started(place, [*way, *SEND, body], SWARM_AGENT="kim") for way, body in ways]
    ids = [ended(process)[0].decode().strip() for process in running]
    assert [process.returncode for process in running] == [0] * len(ways)
    letters = {event.id: event.data.body for event in read_all(place.log) if isinstance(event.data, MailSent)}
    assert [letters[id_] for id_ in ids] == [body for _, body in ways]
    assert verify(place.log).errors == []
    assert len(letters) == len(Path(place.log, own(place)).read_bytes().splitlines()) == len(ways) + 1


@pytest.mark.parametrize("words", [[*SEND, "x"], ["mail", "check", "--to", "merger"], ["mail", "check", "--json"]])
@pytest.mark.parametrize("out", ["closed", "broken", "full"])
def test_what_cannot_be_printed_ends_as_in_the_whole_command_line(place: Place, words: list[str], out: str) -> None:
    ends = []
    for way in (FAST, WHOLE):
        put(place, {own(place): letter(0, "agent-ann")})
        if out == "closed":
            process = started(place, ["sh", "-c", 'exec "$@" >&-', "sh", *way, *words])
        else:
            reading, writing = os.pipe() if out == "broken" else (-1, os.open("/dev/full", os.O_WRONLY))
            if out == "broken":
                os.close(reading)
            process = started(place, [*way, *words], writing)
            os.close(writing)
        errors = re.sub("swarm-report-.*", "", ended(process)[1].decode())
        ends.append((process.returncode, errors, len(read_all(place.log))))
    assert ends[0] == ends[1]


def test_a_full_disk_leaves_nothing_and_is_said(place: Place) -> None:
    path = Path(place.log, own(place))
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 50}, {limits[1]}));"
    code += f"import sys; sys.argv = {['swarm', *SEND, 'x']}; from swarm.__main__ import main; main()"
    process = started(place, [sys.executable, "-P", "-c", code])
    out, err = ended(process)
    assert (process.returncode, out, path.read_bytes()) == (1, b"", before)
    assert b"the file may not grow any further" in err
    again = started(place, [*FAST, *SEND, "x"])
    assert (ended(again)[1], again.returncode) == (b"", 0)
    assert verify(place.log).errors == []


def test_who_waits_for_the_lock_may_give_up(place: Place) -> None:
    path = Path(place.log, own(place))
    holding = os.open(path, os.O_RDWR)
    flock(holding, LOCK_EX)
    waiting = started(place, [*FAST, *SEND, "x"])
    until(lambda: f" {waiting.pid} " in Path("/proc/locks").read_text(), what="it to wait for the lock")
    waiting.send_signal(signal.SIGINT)
    assert ended(waiting) == (b"", b"")
    os.close(holding)
    assert (waiting.returncode, path.read_bytes()) == (130, letter(0, "human"))


def test_a_file_that_was_sealed_while_one_waited_for_it_is_not_written_to(place: Place) -> None:
    path = Path(place.log, own(place))
    sealed = path.with_name(path.name.replace(".", f"-{id_of(0)}."))
    holding = os.open(path, os.O_RDWR)
    flock(holding, LOCK_EX)
    waiting = started(place, [*FAST, *SEND, "x"])
    until(lambda: f" {waiting.pid} " in Path("/proc/locks").read_text(), what="it to wait for the lock")
    path.rename(sealed)
    path.write_bytes(letter(1, "human"))
    os.close(holding)
    sent = ended(waiting)[0].decode().strip()
    assert sealed.read_bytes() == letter(0, "human")
    assert sent in path.read_text()


def test_the_line_and_the_name_of_its_file_are_synced_or_it_is_an_error(tmp_path: Path) -> None:
    reading, pipe = os.pipe()  # which cannot be synced, nor can a folder of /proc
    file = os.open(tmp_path / "x.jsonl", os.O_RDWR | os.O_CREAT)
    for fd, path in ((pipe, tmp_path / "x.jsonl"), (file, Path("/proc/self/x.jsonl"))):
        with pytest.raises(NotDurable, match="may not survive a loss of power"):
            lane._let_go(fd, str(path), synced=True)
    for fd in (pipe, file):
        lane._let_go(fd, "", synced=False)
    os.close(reading)


# --- installed ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that a wheel of this checkout installs. Its libraries are lent by this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "benchmarks", "build", "*.egg-info")
    shutil.copytree(Path(swarm.__file__).parent, folder / "source", ignore=unneeded)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "-w", folder, folder / "source"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    target, wheel = folder / "venv" / "bin" / "python", next(folder.glob("swarm-*.whl"))
    subprocess.run([*pip, "--python", target, "install", *offline, wheel], check=True)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    return target.with_name("swarm")


@pytest.mark.parametrize("words", [[*SEND, "x"], ["mail", "check"], ["mail", "check", "--json"]])
def test_an_installed_wheel_takes_the_lane_and_imports_nothing_heavy(
    place: Place, installed: Path, words: list[str]
) -> None:
    process = started(place, [str(installed), *words], PYTHONPROFILEIMPORTTIME="1", **KIM)
    imported = {text.rpartition("|")[2].strip() for text in ended(process)[1].decode().splitlines()}
    assert process.returncode == 0
    assert "swarm.eventlog.lane" in imported
    assert not {name for name in imported if name.split(".")[0] in HEAVY}
    assert {name for name in imported if name.startswith("swarm.")} == {
        "swarm.__main__",
        "swarm.eventlog",
        "swarm.eventlog.errors",
        "swarm.eventlog.lane",
        "swarm.eventlog.suspects",
    }


def test_an_installed_wheel_has_the_whole_command_line_too(place: Place, installed: Path) -> None:
    put(place, {own(place): letter(0, "coordinator")})
    read = started(place, [str(installed), "mail", "check", "--to", "coordinator", "--json"])
    assert id_of(0).encode() in ended(read)[0]
    refused = started(place, [str(installed), "mail", "send", "--to", "agent-bob", "--body", "x"])
    assert b"nobody has the address 'agent-bob'" in ended(refused)[1]
    assert (read.returncode, refused.returncode) == (0, 2)
