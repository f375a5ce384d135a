"""What every file of `runtimes/` must do. A new runtime is under test as soon as its file exists."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm import runtimes
from swarm.eventlog.errors import UsageError
from swarm.runtimes import Llm, Outcome, Reader, Runtime, Task, ending, one_line, runtime

NAMES = runtimes.names()
KEY = "sk-very-secret-0123456789"
TASK = Task(
    session="sw-1-1-agent",
    issue="sw-1",
    agent="kim",
    role="builder",
    prompt="Write the file.\nThen stop.",
    body="echo hello > hello.txt",
    worktree="/repo/.swarm/worktrees/sw-1-1",
    run_dir="/repo/.git/swarm/runs/sw-1-1-agent",
    model="kimi-k2",
    llm=Llm("http://127.0.0.1:4000", KEY, {"kimi-k2": (0.6, 2.5)}),
)

# Lines as an agent might print them: any bytes, and JSON that is made of the words that readers look for.
KEYS = "type message session id usage input output cacheRead cost total role content text model toolName args"
MORE = "stopReason errorMessage message_end assistant stop error tool_execution_start auto_retry_start kimi"
WORDS = st.sampled_from([*KEYS.split(), *MORE.split()])
VALUES = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)
ANSWERS = st.builds(
    lambda usage, stop: {"type": "message_end", "message": {"role": "assistant", "stopReason": stop, "usage": usage}},
    st.dictionaries(st.sampled_from(["input", "output", "cacheRead", "cacheWrite"]), st.integers(-5, 9), max_size=4),
    st.sampled_from(["stop", "toolUse", "error"]),
)
LINES = st.lists(st.binary(max_size=60) | (VALUES | ANSWERS).map(lambda value: json.dumps(value).encode()), max_size=12)


@pytest.fixture(params=NAMES)
def each(request: pytest.FixtureRequest) -> Runtime:
    return runtime(request.param)


def test_there_are_shell_and_pi():
    assert {"shell", "pi"} <= set(NAMES)


def test_a_runtime_names_its_program_and_how_to_install_it(each: Runtime):
    assert each.BINARY
    assert not each.BINARY.isspace()
    assert each.INSTALL


def test_launch_is_deterministic_and_touches_nothing(each: Runtime, tmp_path: Path):
    task = msgspec.structs.replace(TASK, run_dir=str(tmp_path / "run"), worktree=str(tmp_path / "tree"))
    before = sorted(tmp_path.rglob("*"))

    assert each.launch(task) == each.launch(task)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_launch_is_made_of_strings_that_a_process_can_take(each: Runtime):
    launch = each.launch(TASK)

    assert launch.argv
    assert all(isinstance(word, str) and "\0" not in word for word in launch.argv)
    assert all(isinstance(k, str) and isinstance(v, str) and "=" not in k for k, v in launch.env.items())
    assert isinstance(launch.stdin, str)


def test_files_lie_beneath_the_run_folder(each: Runtime):
    for path in each.launch(TASK).files:
        assert Path(path).is_relative_to(TASK.run_dir)
        assert ".." not in Path(path).parts


def test_the_key_is_on_no_command_line_and_in_no_file(each: Runtime):
    launch = each.launch(TASK)

    assert not [word for word in launch.argv if KEY in word]
    assert not [path for path, text in launch.files.items() if KEY in text]
    assert KEY not in launch.stdin


def test_the_settings_choose_the_program_and_add_options(each: Runtime):
    launch = each.launch(msgspec.structs.replace(TASK, binary="/opt/other", args=("--more", "of it")))

    assert launch.argv[0] == "/opt/other"
    assert {"--more", "of it"} <= set(launch.argv)


@pytest.mark.parametrize("code", [0, 1, 143, -9, -999])
def test_a_reader_that_saw_nothing_still_has_a_verdict(each: Runtime, code: int):
    outcome = each.reader().outcome(code)

    assert isinstance(outcome, Outcome)
    assert bool(outcome.why) is not outcome.ok
    assert "\n" not in outcome.why
    assert not (outcome.ok and code != 0)


@settings(max_examples=150, deadline=None)
@given(lines=LINES, code=st.sampled_from([0, 1, -9]))
@pytest.mark.parametrize("name", NAMES)
def test_a_reader_survives_any_output_and_its_totals_only_grow(name: str, lines: list[bytes], code: int):
    reader = runtime(name).reader()
    before = totals(reader)
    for line in lines:
        reader.feed(line)
        after = totals(reader)
        assert all(now >= then for now, then in zip(after, before, strict=True)), line
        assert "\n" not in reader.note
        assert "\x1b" not in reader.note
        assert len(reader.note) <= 200
        before = after
    outcome = reader.outcome(code)
    assert bool(outcome.why) is not outcome.ok
    msgspec.json.encode((outcome, reader.usage, reader.note))  # what goes into the log is valid UTF-8


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 200_000,
        b'{"x":' * 100_000,
        b'{"type":"tool_execution_start","args":' + b'{"a":' * 100_000,
        b"\xff" * 300_000,
        b"\x1bP" * 200_000,
    ],
    ids=["lists", "objects", "arguments", "bytes", "escapes"],
)
def test_a_monstrous_line_is_passed_by(each: Runtime, line: bytes):
    reader = each.reader()
    reader.feed(line)
    assert totals(reader) == (0, 0, 0, 0, 0)


def totals(reader: Reader) -> tuple[int, int, int, int, int]:
    usage = reader.usage
    return (
        reader.tools,
        sum(u.calls for u in usage),
        sum(u.input_tokens for u in usage),
        sum(u.output_tokens for u in usage),
        sum(u.cached_tokens for u in usage),
    )


# --- the room itself ------------------------------------------------------------------------------

ECHO = """
from swarm.runtimes import Launch, Outcome

BINARY, INSTALL = "echo", "part of every system"

def launch(task):
    return Launch(("echo", task.prompt))

def reader():
    class Reader:
        tools, note, usage = 0, "", ()
        def feed(self, line): self.note = line.decode()
        def outcome(self, code): return Outcome(code == 0, "" if code == 0 else "no", self.note)
    return Reader()
"""


def test_the_next_runtime_is_one_new_file(tmp_path: Path):
    (tmp_path / "echo.py").write_text(ECHO)
    runtimes.__path__.append(str(tmp_path))
    try:
        assert runtimes.names() == sorted([*NAMES, "echo"])
        found = runtime("echo")
        launch = found.launch(TASK)
        reader = found.reader()
        for line in subprocess.run(launch.argv, capture_output=True, check=True).stdout.splitlines():
            reader.feed(line)
        assert reader.outcome(0).report == "Then stop."
    finally:
        runtimes.__path__.remove(str(tmp_path))
        sys.modules.pop("swarm.runtimes.echo", None)
        vars(runtimes).pop("echo", None)


def test_the_files_are_the_registry():
    here = Path(runtimes.__file__).parent
    assert NAMES == sorted(path.stem for path in here.glob("*.py") if path.stem not in ("__init__", "quota", "runners"))
    assert not [module.name for module in pkgutil.iter_modules([str(here)]) if module.ispkg]


def test_an_unknown_runtime_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="there is no runtime 'claud'") as refused:
        runtime("claud")
    assert "pi, shell" in refused.value.hint


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by signal 9 (SIGKILL)"),
        (-15, "killed by signal 15 (SIGTERM)"),
        (-200, "killed by signal 200"),
    ],
)
def test_an_ending_is_said_in_words(code: int, words: str):
    assert ending(code) == words


def test_one_line_is_short_and_harmless():
    assert one_line("  \x1b[31mred\x1b[0m\n\tand\x07 more ") == "red and more"
    assert one_line("x" * 500, 10) == "x" * 9 + "…"
    assert one_line("\n \n") == ""
