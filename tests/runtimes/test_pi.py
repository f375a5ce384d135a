"""The runtime `pi`: what it is given, and how its recorded output is read (tests/golden/pi holds real streams, cut)."""

import json
from pathlib import Path

import msgspec
import pytest

from swarm.eventlog.errors import UsageError
from swarm.runtimes import Llm, Task, Usage, pi

GOLDEN = Path(__file__).parents[1] / "golden" / "pi"
TASK = Task(
    session="sw-1-2-agent",
    issue="sw-1",
    agent="kim",
    role="builder",
    prompt="Write it.",
    body="",
    worktree="/repo/tree",
    run_dir="/repo/run",
    model="kimi-k2",
    llm=Llm("http://127.0.0.1:4000", "sk-swarm-kim", {"kimi-k2": (0.6, 2.5)}),
)


def changed(**changes: object) -> Task:
    return msgspec.structs.replace(TASK, **changes)


def read(name: str) -> pi.Events:
    reader = pi.reader()
    for line in (GOLDEN / f"{name}.jsonl").read_bytes().splitlines():
        reader.feed(line)
    return reader


def provider(task: Task) -> dict:
    return json.loads(pi.launch(task).files["/repo/run/pi/models.json"])["providers"]["swarm"]


# --- launching ------------------------------------------------------------------------------------


def test_pi_runs_headless_with_the_prompt_on_its_input():
    launch = pi.launch(TASK)
    assert launch.argv[:4] == ("pi", "-p", "--mode", "json")
    assert launch.stdin == "Write it."
    assert not launch.terminal


def test_the_proxy_is_pis_only_provider():
    launch = pi.launch(TASK)
    options = dict(zip(launch.argv[4::2], launch.argv[5::2], strict=True))
    assert options == {"--session-dir": "/repo/run/sessions", "--provider": "swarm", "--model": "kimi-k2"}
    assert launch.env["PI_CODING_AGENT_DIR"] == "/repo/run/pi"
    assert launch.env["PI_OFFLINE"] == "1"
    assert launch.env["PI_TELEMETRY"] == "0"


@pytest.mark.parametrize("given", ["http://h:4000", "http://h:4000/", "http://h:4000/v1", "http://h:4000/v1/"])
def test_the_address_ends_with_v1_once(given: str):
    assert provider(changed(llm=Llm(given)))["baseUrl"] == "http://h:4000/v1"


def test_the_key_and_the_tags_go_by_the_environment():
    launch = pi.launch(TASK)
    assert launch.env["SWARM_LLM_KEY"] == "sk-swarm-kim"
    assert launch.env["SWARM_TAGS"] == "session=sw-1-2-agent,issue=sw-1,agent=kim"
    assert provider(TASK)["apiKey"] == "!printenv SWARM_LLM_KEY"
    assert provider(TASK)["headers"] == {"x-litellm-tags": "!printenv SWARM_TAGS"}


def test_prices_reach_pi_and_unknown_ones_are_zero():
    [model] = provider(TASK)["models"]
    assert (model["id"], model["cost"]["input"], model["cost"]["output"]) == ("kimi-k2", 0.6, 2.5)
    [model] = provider(changed(model="other"))["models"]
    assert set(model["cost"].values()) == {0.0}


def test_a_scout_gets_no_tool_that_writes():
    argv = pi.launch(changed(role="scout")).argv
    tools = argv[argv.index("--tools") + 1].split(",")
    assert tools == ["read", "grep", "find", "ls"]
    assert "--tools" not in pi.launch(TASK).argv


def test_without_a_proxy_pi_runs_as_its_user_set_it_up():
    launch = pi.launch(changed(llm=Llm(), model=""))
    assert launch.env == {"PI_TELEMETRY": "0"}
    assert launch.files == {}
    assert not {"--provider", "--model"} & set(launch.argv)
    assert "--model" in pi.launch(changed(llm=Llm())).argv


def test_a_proxy_without_a_model_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match="issue sw-1 has no model") as refused:
        pi.launch(changed(model=""))
    assert "--model" in refused.value.hint


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hello", "hello-0.73.1"])
def test_a_run_that_went_well(name: str):
    reader = read(name)
    outcome = reader.outcome(0)
    assert (outcome.ok, outcome.why, outcome.report) == (True, "", "Done: hello.txt created.")
    assert outcome.resume.startswith("01a1fc1")
    assert (reader.tools, reader.note) == (1, "write: hello.txt")
    assert reader.usage == (Usage("kimi-k2", 2, 2000, 100, 0, 0.00145),)


def test_a_failed_model_is_a_failure_although_pi_exits_with_0():
    reader = read("error-429")
    outcome = reader.outcome(0)
    assert not outcome.ok
    assert outcome.why == (
        "the model failed: 429: litellm.RateLimitError: RateLimitError: OpenAIException - scripted failure 429"
    )
    assert reader.usage == ()
    assert reader.note.startswith("trying again after: 429: ")


def test_a_refused_key_is_said_in_words():
    outcome = read("error-401").outcome(0)
    assert not outcome.ok
    assert outcome.why.startswith("the model failed: 401: ")
    assert "\n" not in outcome.why


def test_failures_that_pi_recovered_from_do_not_count():
    reader = read("recovered-429")
    assert reader.outcome(0).ok
    assert reader.usage[0].calls == 2


@pytest.mark.parametrize(("code", "why"), [(143, "exit code 143"), (-9, "killed by signal 9 (SIGKILL)")])
def test_a_killed_run_keeps_what_it_used(code: int, why: str):
    reader = read("terminated")
    outcome = reader.outcome(code)
    assert (outcome.ok, outcome.why) == (False, why)
    assert reader.note == "bash: sleep 17.5; echo late > late.txt"
    assert reader.usage[0].input_tokens == 1000


def test_an_answer_that_did_not_end_by_itself_is_no_success():
    reader = read("terminated")
    assert "'toolUse'" in reader.outcome(0).why


def test_a_good_end_with_a_bad_exit_code_is_no_success():
    assert read("hello").outcome(1).why == "exit code 1"


def test_no_answer_at_all_is_no_success():
    assert pi.reader().outcome(0).why == "pi ended without an answer from a model"


def answer(model: str = "m", stop: str = "stop", text: str = "", error: str = "", **usage: object) -> bytes:
    message = {"role": "assistant", "model": model, "stopReason": stop, "usage": usage, "errorMessage": error}
    return json.dumps(
        {"type": "message_end", "message": {**message, "content": [{"type": "text", "text": text}]}}
    ).encode()


def test_cached_tokens_are_part_of_the_input():
    reader = pi.reader()
    reader.feed(answer(input=200, output=5, cacheRead=1000, cacheWrite=30, cost={"total": 0.5}))
    assert reader.usage == (Usage("m", 1, 1230, 5, 1000, 0.5),)


def test_tokens_without_a_price_have_no_cost():
    reader = pi.reader()
    reader.feed(answer(input=200, output=5, cost={"total": 0}))
    assert reader.usage[0].cost is None


def test_each_model_has_its_own_total():
    reader = pi.reader()
    for model, tokens in [("a", 1), ("b", 10), ("a", 100)]:
        reader.feed(answer(model, input=tokens, output=1, cost={"total": 1}))
    assert {use.model: (use.calls, use.input_tokens, use.cost) for use in reader.usage} == {
        "a": (2, 101, 2.0),
        "b": (1, 10, 1.0),
    }


def test_a_user_who_quotes_an_assistant_is_not_believed():
    reader = pi.reader()
    reader.feed(answer().replace(b'"role": "assistant"', b'"role": "user"'))
    assert not reader.outcome(0).ok


@pytest.mark.parametrize(
    "message", ["connection refused", "", '429: {"message":7}', "500: [1", "500: " + '{"a":' * 100_000, '1: {"x":1}']
)
def test_any_error_message_gives_words(message: str):
    reader = pi.reader()
    reader.feed(answer(stop="error", error=message))
    assert reader.outcome(0).why.startswith(f"the model failed: {message[:100] or 'no reason was given'}")


def test_the_report_is_what_was_last_said_even_if_the_last_answer_said_nothing():
    reader = pi.reader()
    reader.feed(answer(text="first"))
    reader.feed(answer(text="last words"))
    reader.feed(answer())
    assert reader.outcome(0).report == "last words"


def test_a_long_report_is_cut_and_harmless():
    reader = pi.reader()
    reader.feed(answer(text="\x1b[2J" + "é" * 20_000))
    report = reader.outcome(0).report
    assert report.startswith("éé")
    assert len(report.encode()) == 8192


def test_the_note_names_what_a_tool_is_used_on():
    reader = pi.reader()
    for args, note in [
        ({"content": "text first", "path": "a.py"}, "t: a.py"),
        ({"command": "pytest\n -q"}, "t: pytest -q"),
        ({"count": 3, "other": "x"}, "t: x"),
        ({}, "t:"),
    ]:
        reader.feed(json.dumps({"type": "tool_execution_start", "toolName": "t", "args": args}).encode())
        assert reader.note == note
    assert reader.tools == 4


def test_the_pause_that_the_provider_asks_for_is_a_state_until_pi_goes_on():
    lines = (GOLDEN / "recovered-429.jsonl").read_bytes().splitlines()
    reader, states = pi.reader(), []
    for line in lines:
        reader.feed(line)
        states.append(reader.state)
    begins = [number for number, line in enumerate(lines) if line.startswith(b'{"type":"auto_retry_start"')]
    goes_on = [number for number, line in enumerate(lines) if line.startswith(b'{"type":"agent_start"')]
    assert [states[number] for number in begins] == ["rate_limited"] * 2
    for begin in begins:
        end = min(number for number in goes_on if number > begin)
        assert set(states[begin:end]) == {"rate_limited"}
    assert states.count("rate_limited") == 4
    assert states[-1] == ""


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ('429: {"message": "slow down"}', "rate_limited"),
        ("529 overloaded_error", "rate_limited"),
        ("Error: Rate limit reached", "rate_limited"),
        ('500: {"message": "error 429 in a log"}', ""),
        ("terminated", ""),
    ],
)
def test_only_an_error_that_asks_for_a_pause_is_one(error: str, state: str):
    reader = pi.reader()
    reader.feed(json.dumps({"type": "auto_retry_start", "errorMessage": error}).encode())
    assert reader.state == state
