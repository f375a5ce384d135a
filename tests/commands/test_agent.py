"""`swarm agent`: what agents do, by their own processes and words; their output; their end."""

import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    IssueAssigned,
    IssueOpened,
    MailSent,
    MergeQueued,
    SessionExited,
    SessionKillRequested,
    SessionProgressed,
    SessionStarted,
    WorkRejected,
    WorktreePrepared,
)
from swarm.eventlog.files import Log
from swarm.eventlog.place import node_of
from swarm.eventlog.tail import read_all
from swarm.projections import agents
from swarm.world import Identity, SessionSpec, processes
from swarm.world.clock import entropy, now
from swarm.world.running import Holder, RunLock
from swarm.world.sessions import HostedSessions, wait_for_end

from appended import said
from waiting import until

ISSUE, SESSION = "sw-aaa1", "sw-aaa1-1"
WHO = {"session": SESSION, "attempt": 1}


@pytest.fixture
def assigned(home: Home) -> str:
    """An issue that builder-1 was given."""
    opened = home.append("human", [(ISSUE, IssueOpened(title="Add a parser"))])[0].id
    given = IssueAssigned(attempt=1, generation=opened, agent="builder-1", role="builder", runtime="shell")
    home.append("coordinator", [(ISSUE, given)])
    return opened


@pytest.fixture
def sleeper() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts real processes that only sleep."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def hosted(home: Home) -> Iterator[HostedSessions]:
    """Real sessions in the repository's own run folders; nothing of them is left running."""
    log = Log(home.place.log, node_of(home.place, entropy), now, entropy)
    sessions = HostedSessions(home.place.runs, log)
    yield sessions
    if sessions.claimed(SESSION):
        sessions.kill(SESSION)
        until(lambda: not sessions.running(SESSION), what="the session's end")
    log.close()


def runs(home: Home, program: subprocess.Popen[bytes], host: subprocess.Popen[bytes]) -> None:
    """Say, as a host would, that these processes are the agent's."""
    one, two = processes.identity(program.pid), processes.identity(host.pid)
    assert one
    assert two
    started = SessionStarted(**WHO, kind="agent", boot_id=one.boot_id, pid=one.pid, start_ticks=one.start_ticks,
                             host_pid=two.pid, host_ticks=two.start_ticks)  # fmt: skip
    home.append(f"session/{SESSION}", [(ISSUE, started)])


def launch(home: Home, sessions: HostedSessions, script: str) -> Identity:
    """Run a script as the agent's session; returns its process."""
    folder = os.path.join(home.place.runs, SESSION)
    spec = SessionSpec(session=SESSION, issue=ISSUE, attempt=1, kind="agent", argv=["sh", "-c", script], grace=0.3,
                       cwd=home.place.root, run_dir=folder, log_dir=home.place.log)  # fmt: skip
    sessions.start(spec, {"PATH": os.environ["PATH"]})

    def started() -> SessionStarted | None:
        found = home.board(("agents",))[agents.State].attempts[ISSUE, 1].sessions.get(SESSION)
        return found.started if found else None

    data = until(started, what="the session's start")
    assert data
    return Identity(data.boot_id, data.pid, data.start_ticks)


def row(swarm: Any) -> Any:
    (found,) = swarm("agent", "list", "--json").json
    return found


# --- looking --------------------------------------------------------------------------------------


def test_it_lists_what_each_agent_does(swarm: Any, home: Home, assigned: str) -> None:
    found = row(swarm)
    keys = {"name", "role", "state", "issue", "attempt", "runtime", "model", "pid", "since", "seen", "note"}
    assert set(found) == keys
    assert (found["name"], found["state"], found["issue"], found["attempt"]) == ("builder-1", "assigned", ISSUE, 1)
    assert found["since"] == said(home, "issue.assigned")[0].time
    home.append("builder", [(ISSUE, MergeQueued(attempt=1, branch="b", commit="c"))])
    assert row(swarm)["state"] == "queued"
    home.append("merger", [(ISSUE, WorkRejected(attempt=1, reason="no good"))])
    assert (row(swarm)["state"], row(swarm)["issue"]) == ("idle", "")
    assert "no good" in swarm("agent", "list").out


def test_an_agent_whose_process_runs_is_working(swarm: Any, home: Home, assigned: str, sleeper: Any) -> None:
    program = sleeper()
    runs(home, program, sleeper())
    assert (row(swarm)["state"], row(swarm)["pid"]) == ("working", program.pid)


def test_an_agent_whose_process_was_killed_is_gone_though_nobody_has_said_so(
    swarm: Any, home: Home, assigned: str, sleeper: Any
) -> None:
    program, host = sleeper(), sleeper()
    runs(home, program, host)
    program.kill()
    program.wait()
    assert row(swarm)["state"] == "ending", "its host is there and will write down how it ended"
    host.kill()
    host.wait()
    before = Path(home.place.log, f"{node_of(home.place, entropy)}.jsonl").read_bytes()
    assert row(swarm)["state"] == "gone"
    assert "gone" in swarm("agent", "list").out
    assert "gone" in swarm("status").out
    assert Path(home.place.log, f"{node_of(home.place, entropy)}.jsonl").read_bytes() == before


def test_a_dead_process_that_was_not_reaped_is_gone_too(swarm: Any, home: Home, assigned: str, sleeper: Any) -> None:
    program = sleeper()
    runs(home, program, program)
    program.kill()
    until(lambda: row(swarm)["state"] == "gone")


def test_another_process_with_the_same_pid_is_not_the_agent(swarm: Any, home: Home, assigned: str) -> None:
    me = processes.identity(os.getpid())
    assert me
    started = SessionStarted(**WHO, kind="agent", boot_id=me.boot_id, pid=me.pid, start_ticks=me.start_ticks - 1,
                             host_pid=me.pid, host_ticks=me.start_ticks - 1)  # fmt: skip
    home.append(f"session/{SESSION}", [(ISSUE, started)])
    assert row(swarm)["state"] == "gone"


def test_in_a_copied_clone_the_originals_agent_is_gone(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions
) -> None:
    """The copied log tells of processes that run elsewhere: `kill` there neither ends nor awaits them."""
    process = launch(home, hosted, "sleep 60")
    copy = Path(home.place.root).parent / "copy"
    shutil.copytree(home.place.root, copy, symlinks=True)
    os.chdir(copy)
    try:
        assert row(swarm)["state"] == "gone"
        assert swarm("agent", "kill", "builder-1").code == 0
        assert swarm("stop", "--now").code == 0
    finally:
        os.chdir(home.place.root)
    assert row(swarm)["state"] == "working"
    assert processes.alive(process)
    assert said(home, "session.kill_requested") == []


def test_only_what_the_agent_printed_or_wrote_itself_is_a_sign_of_life(swarm: Any, home: Home, assigned: str) -> None:
    """Pain 9."""
    home.append("watchdog", [(ISSUE, SessionKillRequested(**WHO, reason="silent"))])
    home.append("watchdog", [("", MailSent(to=["agent-builder-1"], body="are you there?"))])
    home.append("merger", [(ISSUE, WorktreePrepared(attempt=1, path="p", branch="b", base="0"))])
    assert row(swarm)["seen"] == ""
    printed = home.append(f"session/{SESSION}", [(ISSUE, SessionProgressed(**WHO, output=5, note="editing a.py"))])[0]
    assert row(swarm)["seen"] == printed.time
    wrote = home.append("agent/builder-1", [("", MailSent(to=["human"], body="yes"))])[0]
    assert row(swarm)["seen"] == wrote.time


def test_a_letter_from_the_last_attempt_is_no_sign_of_life_of_this_one(swarm: Any, home: Home, assigned: str) -> None:
    home.append("agent/builder-1", [("", MailSent(to=["human"], body="first"))])
    given = IssueAssigned(attempt=2, generation=assigned, agent="builder-1", role="builder", runtime="shell")
    home.append("coordinator", [(ISSUE, given)])
    assert (row(swarm)["attempt"], row(swarm)["seen"]) == (2, "")


def test_show_tells_all_about_one_agent(swarm: Any, home: Home, assigned: str) -> None:
    document = swarm("agent", "show", "builder-1", "--json").json
    assert document["attempts"] == [{"issue": ISSUE, "attempt": 1, "stage": "assigned"}]
    assert document["output"].endswith(f"/runs/{SESSION}")
    assert "assigned" in swarm("agent", "show", "agent-builder-1").out


def test_an_unknown_agent_is_refused_with_the_known_ones(swarm: Any, home: Home, assigned: str) -> None:
    for words in (["show", "bob"], ["logs", "bob"], ["kill", "bob"]):
        result = swarm("agent", *words)
        assert result.code == 2
        assert "builder-1" in result.err


# --- output ---------------------------------------------------------------------------------------


def output(home: Home, stdout: bytes, stderr: bytes = b"") -> None:
    folder = Path(home.place.runs, SESSION)
    folder.mkdir(parents=True)
    (folder / "stdout.log").write_bytes(stdout)
    (folder / "stderr.log").write_bytes(stderr)


def test_logs_gives_the_very_bytes_to_a_pipe(
    swarm: Any, home: Home, assigned: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from swarm.cli import run

    output(home, b"\x1b[31mred\xff\n", b"and this\n")
    assert run(["agent", "logs", "builder-1"]) == 0
    assert capfdbinary.readouterr().out == b"\x1b[31mred\xff\nand this\n"


def test_logs_shows_escapes_on_a_terminal(home: Home, assigned: str) -> None:
    output(home, b"\x1b[31mred \xe2\x82\xac\n")
    ours, theirs = pty.openpty()
    swarm = str(Path(sys.executable).with_name("swarm"))
    done = subprocess.run([swarm, "agent", "logs", "builder-1"], cwd=home.place.root, stdin=theirs, stdout=theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, shown) == (0, "\\x1b[31mred €\r\n")


def test_an_agent_that_has_printed_nothing_yet_is_no_error(swarm: Any, home: Home, assigned: str) -> None:
    result = swarm("agent", "logs", "builder-1")
    assert (result.code, result.out) == (0, "")
    assert "nothing yet" in result.err


def test_logs_as_json_is_one_document_of_valid_text(swarm: Any, home: Home, assigned: str) -> None:
    who = {"agent": "builder-1", "issue": ISSUE, "attempt": 1, "session": SESSION}
    assert swarm("agent", "logs", "builder-1", "--json").json == {**who, "stdout": "", "stderr": ""}
    output(home, b"\x1b[31mred\xff\r\n", b"and this\n")
    document = swarm("agent", "logs", "agent-builder-1", "--json").json
    assert document == {**who, "stdout": "\x1b[31mred\ufffd\r\n", "stderr": "and this\n"}


def test_logs_as_json_cannot_follow(swarm: Any, home: Home, assigned: str) -> None:
    result = swarm("agent", "logs", "builder-1", "-f", "--json")
    assert (result.code, result.out) == (2, "")
    assert "--json" in result.err


def test_logs_follows_a_session_that_has_not_begun_yet(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions
) -> None:
    timer = threading.Timer(0.3, launch, (Home(home.place), hosted, "echo one; echo two >&2"))
    timer.start()
    result = swarm("agent", "logs", "builder-1", "-f")
    timer.join()
    assert (result.code, sorted(result.out.split()), result.err) == (0, ["one", "two"], "")


def test_logs_does_not_wait_for_an_attempt_that_ended_without_a_session(swarm: Any, home: Home, assigned: str) -> None:
    home.append("builder", [(ISSUE, WorkRejected(attempt=1, reason="no worktree"))])
    result = swarm("agent", "logs", "builder-1", "-f")
    assert (result.code, result.out) == (0, "")
    assert "nothing yet" in result.err


def test_logs_follows_until_the_session_ends(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions, tmp_path: Path
) -> None:
    launch(home, hosted, f"echo one; until test -e {tmp_path}/go; do sleep 0.02; done; echo two; echo three >&2")
    timer = threading.Timer(0.3, (tmp_path / "go").touch)
    timer.start()
    result = swarm("agent", "logs", "builder-1", "-f")
    timer.join()
    assert result.code == 0
    assert sorted(result.out.split()) == ["one", "three", "two"]


def test_logs_waits_for_what_the_host_of_a_dead_program_still_writes_out(
    swarm: Any, home: Home, assigned: str, sleeper: Any
) -> None:
    program = sleeper()
    runs(home, program, sleeper())
    output(home, b"first\n")
    program.kill()
    program.wait()

    def host() -> None:
        with Path(home.place.runs, SESSION, "stdout.log").open("ab") as file:
            file.write(b"last\n")
        home.append(f"session/{SESSION}", [(ISSUE, SessionExited(**WHO, code=-9, ok=False, seconds=1.0))])

    timer = threading.Timer(0.2, host)
    timer.start()
    result = swarm("agent", "logs", "builder-1", "-f")
    timer.join()
    assert (result.code, result.out) == (0, "first\nlast\n")


# --- ending ---------------------------------------------------------------------------------------


def test_kill_ends_the_processes_says_so_in_the_log_and_holds_the_issue(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions
) -> None:
    process = launch(home, hosted, "trap '' TERM; sleep 60 & wait; sleep 60")
    children = processes.descendants(process.pid)
    result = swarm("agent", "kill", "builder-1")
    assert result.code == 0, result.err
    assert f"swarm issue reopen {ISSUE}" in result.out
    assert not any(processes.alive(one) for one in (process, *children))
    assert [event.data.reason for event in said(home, "session.kill_requested")] == ["killed by a person"]
    assert [event.data.reason for event in said(home, "issue.held")] == ["killed by a person"]
    assert [event.data.ended_by for event in said(home, "session.exited")] == ["killed"]
    assert swarm("issue", "show", ISSUE, "--json").json["status"] == "blocked"


def test_while_a_swarm_runs_its_watchdog_ends_the_session(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions
) -> None:
    process = launch(home, hosted, "sleep 60")
    lock = RunLock(os.path.join(home.place.home, "run.lock"))
    lock.take(Holder(os.getpid(), "run-1", "now"))
    asked = threading.Event()

    def watchdog() -> None:
        until(lambda: said(home, "session.kill_requested"), what="the wish")
        asked.set()
        assert processes.alive(process), "it is not for the command to end it"
        hosted.kill(SESSION)

    thread = threading.Thread(target=watchdog)
    thread.start()
    try:
        result = swarm("agent", "kill", "builder-1")
    finally:
        thread.join()
        lock.drop()
    assert result.code == 0, result.err
    assert asked.is_set()
    assert not processes.alive(process)


def test_kill_of_an_agent_without_a_session_yet_only_holds_its_issue(swarm: Any, home: Home, assigned: str) -> None:
    assert swarm("agent", "kill", "builder-1").code == 0
    assert said(home, "session.kill_requested") == []
    assert len(said(home, "issue.held")) == 1


def test_an_agent_that_is_not_at_work_is_refused_with_those_who_are(swarm: Any, home: Home, assigned: str) -> None:
    home.append("builder", [(ISSUE, WorkRejected(attempt=1, reason="no"))])
    given = IssueAssigned(attempt=1, generation="g", agent="scout-1", role="scout", runtime="shell")
    home.append("coordinator", [("sw-bbb2", given)])
    before = len(read_all(home.place.log))
    result = swarm("agent", "kill", "builder-1")
    assert result.code == 2
    assert "scout-1" in result.err
    assert len(read_all(home.place.log)) == before


def test_a_session_that_ended_is_not_asked_to_end_again(
    swarm: Any, home: Home, assigned: str, hosted: HostedSessions
) -> None:
    launch(home, hosted, "exit 3")
    until(lambda: said(home, "session.exited"), what="its end")
    assert isinstance(said(home, "session.exited")[0].data, SessionExited)
    assert swarm("agent", "kill", "builder-1").code == 0
    assert said(home, "session.kill_requested") == []


def test_what_does_not_end_in_time_is_an_error_with_the_command_that_ends_it(
    home: Home, assigned: str, sleeper: Any
) -> None:
    program = sleeper()
    runs(home, program, program)
    sessions = list(home.board(("agents",))[agents.State].sessions())
    with pytest.raises(SwarmError, match="still there") as error:
        wait_for_end(home.place.runs, sessions, patience=0.1)
    assert SESSION in str(error.value)
    assert str(program.pid) in error.value.hint
