"""Records the golden runs anew: `python -P tests/golden/record.py [NAME …]`. Rule: real runs of the real program on
scratch repositories, with agents that are shell scripts; nothing in a recorded log is edited.

Each run is kept as `<name>.jsonl`, the file of a node of that name, and the board that it comes to as
`<name>.board.json`. When to do this: README.md beside it.
"""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import repository  # noqa: E402
from stage import Stage  # noqa: E402

FOREIGN = re.compile(r"(?<![\w.-])/(?:tmp|work|root|home|Users|var|usr|opt|private)\b|site-packages")
"""A path of the machine that recorded: there may be none in a kept log. Paths of worktrees are relative."""
LONGEST = 150_000
"""Bytes of one kept log: they are decided again in every run of the tests."""

Play = Callable[[Stage], None]


def green(stage: Stage) -> None:
    """Six issues that wait for each other, one of them a scout's, with letters of all kinds; everything lands."""
    parser = stage.issue("Write the parser", f"{letter('@builders', 'progress')}\necho parse > parser.txt\n")
    lexer = stage.issue("Write the lexer", "echo lex > lexer.txt\n", "--priority", "1")
    both = stage.issue("Join them", "cat parser.txt lexer.txt > both.txt\n", "--needs", parser, "--needs", lexer)
    ask = f"{letter('coordinator', 'help_request')}\ngit add -A; echo words > words.txt\n"
    stage.issue("Document it", ask, "--needs", both, "--priority", "2")
    stage.issue("Where is the entry point?", "echo 'it is in both.txt'\n", "--role", "scout", "--needs", parser)
    stage.issue("Add a licence", f"{letter('human', 'handoff')}\nprintf 'as you like\\n' > LICENSE\n")
    expect(stage, 0, "--max-agents", "3", "--test", "test -f a.txt")
    stage.swarm("mail", "check", "--to", "human")


def failures(stage: Stage) -> None:
    """A gate that fails until the issue is held, agents that fail once, a conflict, and an attempt that is called off
    because its issue was opened again.
    """
    stage.issue("Break it", "rm a.txt\n", "--priority", "1")
    stage.issue("Fail once", f"{only_first('exit 7')}\necho b > b.txt\n")
    stage.issue("Do nothing once", f"{only_first('exit 0')}\necho c > c.txt\n")
    for word in ("one", "two"):  # both are cut from the same base: the second does not merge
        stage.issue(f"Say {word}", f"{only_first('sleep 1')}\necho {word} > said.txt\n", "--priority", "1")
    slow = stage.issue("Hang once", f"{only_first('sleep 600')}\necho d > d.txt\n", "--priority", "1")
    started = stage.background("--max-agents", "4", "--test", "test -f a.txt")
    stage.wait_for_session(f"{slow}-1")
    done(stage, "mail", "send", "--to", "agent-builder-1", "--to", f"issue:{slow}", "--body", "how is it going?")
    done(stage, "stop")
    started.wait()
    done(stage, "issue", "close", slow, "--reason", "not now")
    done(stage, "issue", "reopen", slow, "--reason", "it is needed after all")
    expect(stage, 1, "--max-agents", "4", "--test", "test -f a.txt")


def crash(stage: Stage) -> None:
    """`kill -9` of the swarm while agents work; one of them ends while no swarm runs; the next start takes over."""
    for name, pause in (("b", 1), ("c", 4), ("d", 1), ("e", 1)):
        stage.issue(f"Write {name}", f"sleep {pause}; echo {name} > {name}.txt\n")
    started = stage.background("--max-agents", "2", "--test", "test -f a.txt")
    stage.wait_for("session.started", 2)
    started.send_signal(signal.SIGKILL)
    started.wait()
    stage.wait_for("session.exited", 1)
    expect(stage, 0, "--max-agents", "2", "--test", "test -f a.txt")


PLAYS: dict[str, Play] = {play.__name__: play for play in (green, failures, crash)}


class Theatre(Stage):
    """A stage whose node has the name of the play."""

    def wait_for_session(self, session: str) -> None:
        """Wait until this session's program runs."""
        for count in range(1, 100):
            if any(event.data.session == session for event in self.wait_for("session.started", count)):
                return
        raise AssertionError(f"{session} did not start")


def letter(to: str, kind: str) -> str:
    """A line of an agent's script that writes a letter; what it prints is thrown away."""
    return f"swarm mail send --to {to} --type {kind} --body 'I am at it' > letter; rm letter"


def only_first(deed: str) -> str:
    """A line of an agent's script that only an issue's first attempt heeds."""
    return f'case "$SWARM_SESSION" in *-1) {deed};; esac'


def done(stage: Stage, *args: str) -> None:
    """Run `swarm`; it must do it."""
    result = stage.swarm(*args)
    assert result.code == 0, result.err


def expect(stage: Stage, code: int, *args: str) -> None:
    """`swarm start --until-idle`; it must end so."""
    result = stage.start(*args)
    assert result.code == code, result.out + result.err


def record(name: str) -> None:
    """Play it and keep what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="swarm-golden-"))
    stage = Theatre(repository.make(folder / "repository", {"a.txt": "a\n"}).root)
    try:
        done(stage, "init")
        call_node(stage, name)
        PLAYS[name](stage)
        keep(stage, name)
    finally:
        stage.close()
        shutil.rmtree(folder)


def call_node(stage: Stage, name: str) -> None:
    """Give the clone this name; nothing has been written under its own yet."""
    path = stage.log.parent / "node.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "node": name}) + "\n")


def keep(stage: Stage, name: str) -> None:
    """Copy the log and the board, if nothing of this machine is in them."""
    files = list(stage.log.glob("*.jsonl"))
    assert [file.name for file in files] == [f"{name}.jsonl"], files
    text = files[0].read_text()
    found = FOREIGN.findall(text) + [word for word in (str(stage.root), os.uname().nodename) if word in text]
    assert not found, f"{name} names {found}"
    assert len(text) < LONGEST, f"{name} has {len(text)} bytes"
    done(stage, "log", "verify")
    done(stage, "replay", "--verify")
    (HERE / f"{name}.jsonl").write_text(text)
    (HERE / f"{name}.board.json").write_text(json.dumps(stage.json("replay"), indent=1) + "\n")
    print(f"{name}: {len(text.splitlines())} events, {len(text):,} bytes", flush=True)


if __name__ == "__main__":
    os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    for wanted in sys.argv[1:] or PLAYS:
        record(wanted)
