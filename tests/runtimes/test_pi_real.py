"""The real pi through the real LiteLLM proxy: what is launched works, and what is read agrees with what was spent."""

import os
import subprocess
from pathlib import Path

import pytest

from swarm.runtimes import Llm, Outcome, Task, pi
from swarm.world.spend import SpendFile

from llm import MODEL, PRICES, Proxy, tools
from scripted_model import Step, play
from waiting import until

pytestmark = pytest.mark.pi


@pytest.fixture
def task(tmp_path: Path, proxy: Proxy) -> Task:
    """A builder's task in a real worktree; its session is named after the test's own folder."""
    repository, worktree = tmp_path / "repo", tmp_path / "tree"
    git("init", "-q", "-b", "main", str(repository))
    git("-C", str(repository), "commit", "-q", "--allow-empty", "-m", "begin")
    git("-C", str(repository), "worktree", "add", "-q", "-b", "swarm/kim/sw-1-1", str(worktree))
    return Task(
        session=tmp_path.name,
        issue="sw-1",
        agent="kim",
        role="builder",
        prompt="",
        body="",
        worktree=str(worktree),
        run_dir=str(tmp_path / "run"),
        model=MODEL,
        llm=Llm(proxy.base_url, "sk-swarm-kim", PRICES),
        binary=tools().pi,
    )


def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], check=True)


def run(task: Task, *steps: Step, **changes: str) -> tuple[pi.Events, int, Outcome]:
    """Launch pi for real and read all it prints."""
    fields = {name: getattr(task, name) for name in Task.__struct_fields__}
    launch = pi.launch(Task(**{**fields, "prompt": f"Do the issue.\n\n{play(*steps)}\n", **changes}))
    for path, text in launch.files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    env = {"HOME": os.environ["HOME"], "PATH": tools().path, **launch.env}
    done = subprocess.run(
        launch.argv, input=launch.stdin.encode(), cwd=task.worktree, env=env, capture_output=True, timeout=180
    )
    reader = pi.reader()
    for line in done.stdout.splitlines():
        reader.feed(line)
    return reader, done.returncode, reader.outcome(done.returncode)


WRITE: Step = {
    "op": "write",
    "path": "hello.txt",
    "content": "hello\n",
    "usage": {"in": 1234, "out": 56, "cached": 1000},
}
DONE: Step = {"text": "I wrote hello.txt."}


def test_pi_does_the_work_and_its_account_is_the_proxys(task: Task, proxy: Proxy):
    reader, code, outcome = run(task, WRITE, {"op": "bash", "cmd": "cat hello.txt"}, DONE)

    assert (code, outcome.ok, outcome.report) == (0, True, "I wrote hello.txt.")
    assert Path(task.worktree, "hello.txt").read_text() == "hello\n"
    assert (reader.tools, reader.note) == (2, "bash: cat hello.txt")
    until(lambda: len(proxy.spent(task.session)) == 3, what="three calls in the spend log")
    [spent] = [total for total in SpendFile(str(proxy.spend_log)).totals() if total.session == task.session]
    [used] = reader.usage
    assert (used.model, used.calls) == (spent.model, spent.calls) == (MODEL, 3)
    assert (used.input_tokens, used.output_tokens, used.cached_tokens) == (3234, 156, 1000)
    assert (spent.input_tokens, spent.output_tokens, spent.cached_tokens) == (3234, 156, 1000)
    assert used.cost == pytest.approx(spent.cost, abs=1e-12)
    assert spent.cost == pytest.approx(3234 * 0.6e-6 + 156 * 2.5e-6, abs=1e-12)


def test_a_failing_model_is_a_failure_although_pi_exits_with_0(task: Task, proxy: Proxy):
    reader, code, outcome = run(task, {"text": "never", "status": 401})

    assert code == 0
    assert not outcome.ok
    assert outcome.why.startswith("the model failed: 401: ")
    assert "scripted failure 401" in outcome.why
    assert reader.usage == ()
    [line] = until(lambda: proxy.spent(task.session), what="the failed call in the spend log")
    assert (line["ok"], line["error"]) == (False, "AuthenticationError")


def test_a_scout_is_offered_no_tool_that_writes(task: Task, proxy: Proxy):
    before = len(proxy.asked())
    _, _, outcome = run(task, WRITE, role="scout")

    assert [asked["tools"] for asked in proxy.asked()[before:]] == [["find", "grep", "ls", "read"]]
    assert outcome.report == "I was offered no tool 'write'."
    assert not Path(task.worktree, "hello.txt").exists()


def test_a_model_without_a_price_has_an_unknown_cost(task: Task, proxy: Proxy):
    reader, _, outcome = run(task, DONE, model="unpriced")

    assert outcome.ok
    assert [used.cost for used in reader.usage] == [None]
    [line] = until(lambda: proxy.spent(task.session), what="the call in the spend log")
    assert line["cost"] is None


def test_the_proxy_turns_away_who_is_no_agent(task: Task, proxy: Proxy):
    _, _, outcome = run(task, DONE, llm=Llm(proxy.base_url, "sk-other", PRICES))
    assert outcome.why == "the model failed: 401: a key of this proxy is sk-swarm-<agent>"


def test_nothing_of_the_users_own_configuration_is_touched(task: Task):
    run(task, DONE)
    assert list(Path(os.environ["HOME"]).iterdir()) == []
