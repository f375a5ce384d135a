"""`swarm.toml`: what is right is typed, what is wrong is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.eventlog.errors import UsageError
from swarm.world.settings import load
from swarm.world.tables import Limits, LlmSettings, RuntimeSettings, Settings, Start


def write(root: Path, text: str | bytes) -> str:
    (root / "swarm.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(root)


def refusal(root: Path, text: str | bytes) -> tuple[str, str]:
    with pytest.raises(UsageError) as refused:
        load(write(root, text))
    assert str(refused.value).startswith("swarm.toml")
    return str(refused.value), refused.value.hint


def test_without_a_file_there_are_defaults(tmp_path: Path):
    settings = load(str(tmp_path))
    assert settings == Settings()
    assert settings.start == Start(max_agents=4, max_retries=1, runtime="shell", model="", test="", target="")
    assert (settings.limits.attempt_minutes, settings.limits.gate_minutes, settings.limits.log_mb) == (60.0, 30.0, 50.0)


def test_an_empty_file_is_the_defaults(tmp_path: Path):
    assert load(write(tmp_path, "")) == Settings()


def test_every_setting_can_be_written(tmp_path: Path):
    text = """
        [start]
        max_agents = 8
        max_retries = 0
        runtime = "pi"
        model = "kimi-k2"
        test = "make test"
        target = "main"
        [limits]
        attempt_minutes = 5
        gate_minutes = 0.5
        log_mb = 1.5
        [llm]
        base_url = "http://127.0.0.1:4000"
        key_env = "MY_KEY"
        spend_log = "spend.jsonl"
        [llm.prices]
        "gpt-4.1" = [2, 8.0]
        [runtimes.pi]
        binary = "/opt/pi"
        args = ["--thinking", "low"]
    """
    settings = load(write(tmp_path, text))
    assert settings.start == Start(8, 0, "pi", "kimi-k2", "make test", "main")
    assert (settings.limits.attempt_minutes, settings.limits.gate_minutes, settings.limits.log_mb) == (5.0, 0.5, 1.5)
    assert settings.llm == LlmSettings("http://127.0.0.1:4000", "MY_KEY", "spend.jsonl", {"gpt-4.1": (2.0, 8.0)})
    assert settings.runtimes == {"pi": RuntimeSettings("/opt/pi", ["--thinking", "low"])}


def test_the_sample_in_the_docs_is_valid(tmp_path: Path):
    docs = Path(__file__).parents[2] / "docs" / "litellm" / "README.md"
    sample = docs.read_text().partition("```toml\n")[2].partition("```")[0]
    assert load(write(tmp_path, sample)).llm.prices == {"kimi-k2": (0.6, 2.5)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[start]\nmax_agents = "four"', 'start.max_agents: expected int, got str ("four")'),
        ("[start]\nmax_agents = '4'", 'start.max_agents: expected int, got str ("4")'),
        ("[start]\nmax_agents = 2.5", "start.max_agents: expected int, got float (2.5)"),
        (
            '[environment]\nallow = ["AWS_*", "A-B"]',
            "environment.allow: expected names of environment variables, or beg",
        ),
        ('[environment]\nredact = ["AWS_*"]', "environment.redact: expected names of environment variables"),
        ("[start]\nmax_agents = true", "start.max_agents: expected int, got bool (true)"),
        ("[start]\nmax_agents = 0", "start.max_agents: expected int >= 1 (0)"),
        ("[start]\nmax_agents = 1001", "start.max_agents: expected int <= 1000 (1001)"),
        ("[start]\nmax_retries = -1", "start.max_retries: expected int >= 0 (-1)"),
        ("[start]\nmodel = 5", "start.model: expected str, got int (5)"),
        ("[limits]\nattempt_minutes = 0", "limits.attempt_minutes: expected float > 0.0 (0)"),
        ("[limits]\ngate_minutes = inf", "limits.gate_minutes: expected float <= 100000.0"),
        ("[limits]\ngate_minutes = nan", "limits.gate_minutes: expected float > 0.0"),
        ("[limits]\nlog_mb = -3", "limits.log_mb: expected float > 0.0 (-3)"),
        ("start = 3", "start: expected table, got int (3)"),
        ("[runtimes]\npi = 3", "runtimes.pi: expected table, got int (3)"),
        ("[runtimes.pi]\nargs = [1]", "runtimes.pi.args[0]: expected str, got int (1)"),
        ("[runtimes.shell]\n[runtimes.pi]\nbinary = 1", "runtimes.pi.binary: expected str, got int (1)"),
        ("[llm.prices]\na = [1, 2]\nb = [1]", "llm.prices.b: expected array of length 2, got 1"),
        ("[llm.prices]\na = [1, 2]\nb = [1, 'x']", 'llm.prices.b[1]: expected float, got str ("x")'),
        ("[llm.prices]\n'gpt-4.1' = [1, -2]", "llm.prices.gpt-4.1[1]: expected float >= 0.0"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, text: str, words: str):
    message, hint = refusal(tmp_path, text)
    assert message.startswith(f"swarm.toml: {words}")
    assert hint


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[start]\nmax_agent = 3", "start.max_agent", "did you mean max_agents?"),
        ("[strat]\nmax_agents = 3", "strat", "did you mean start?"),
        (
            "[limits]\nzzz = 3",
            "limits.zzz",
            f"known: {', '.join(Limits.__struct_fields__)}",
        ),
        ("[llm]\nurl = ''\nbase_ur = ''", "llm.url", "known: base_url, key_env, spend_log, prices"),
        ("[runtimes.pi]\nbinry = ''", "runtimes.pi.binry", "did you mean binary?"),
        ("max_agents = 3", "max_agents", f"known: {', '.join(Settings.__struct_fields__)}"),
    ],
)
def test_an_unknown_setting_is_named_with_what_was_meant(tmp_path: Path, text: str, key: str, hint: str):
    assert refusal(tmp_path, text) == (f"swarm.toml: {key}: there is no such setting", hint)


def test_an_unknown_runtime_is_named_with_the_known_ones(tmp_path: Path):
    assert refusal(tmp_path, "[runtimes.claud]") == (
        "swarm.toml: runtimes.claud: there is no runtime 'claud'",
        "known: pi, shell",
    )
    assert refusal(tmp_path, "[routing]\nfallback = ['pi:kimi-k2', 'shel:x']") == (
        "swarm.toml: routing.fallback: there is no runtime 'shel'",
        "did you mean shell?",
    )
    assert refusal(tmp_path, "[start]\nruntime = 'shel'") == (
        "swarm.toml: start.runtime: there is no runtime 'shel'",
        "did you mean shell?",
    )


@pytest.mark.parametrize("address", ["127.0.0.1:4000", "ftp://x", "http://", "http:///v1"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str):
    message, _ = refusal(tmp_path, f"[llm]\nbase_url = '{address}'")
    assert message.startswith("swarm.toml: llm.base_url: expected an http:// or https:// address")


def test_a_key_in_place_of_its_variable_is_refused_and_not_shown(tmp_path: Path):
    message, hint = refusal(tmp_path, "[llm]\nkey_env = 'sk-1234567890'")
    assert message.startswith("swarm.toml: llm.key_env: expected the name of an environment variable")
    assert "sk-1234" not in message + hint


def test_a_line_that_is_no_toml_is_named(tmp_path: Path):
    message, hint = refusal(tmp_path, "[start]\n\nmax_agents = = 3\n")
    assert "line 3" in message
    assert hint


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    message, _ = refusal(tmp_path, b'[start]\nmodel = "\xff\xfe"\n')
    assert message == "swarm.toml is not UTF-8: byte 17 is 0xff"


def test_a_folder_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "swarm.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load(str(tmp_path))


def test_reading_settings_loads_nothing_heavy():
    heavy = {"httpx", "git", "pykka", "watchdog", "subprocess", "swarm.runtimes.pi"}
    code = f"import sys, swarm.world.settings as s; s.load('/nonexistent'); print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.sep)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["unit", "py3", "py-3x", "2to3", "lint_all"])
def test_a_gate_has_a_name(tmp_path: Path, name: str):
    assert load(write(tmp_path, f'[[gates]]\nname = "{name}"\ncommand = "true"')).gates[0].name == name


@pytest.mark.parametrize("name", ["", "Unit", "a b", "2", "unit-2", "x" * 32])
def test_the_name_of_a_gate_is_that_of_none_of_its_sessions(tmp_path: Path, name: str):
    words, _ = refusal(tmp_path, f'[[gates]]\nname = "{name}"\ncommand = "true"')
    assert "gates[0].name: expected str matching" in words


def test_two_gates_have_two_names(tmp_path: Path):
    words, _ = refusal(tmp_path, "[[gates]]\nname = 'a'\ncommand = 'b'\n" * 2)
    assert words == "swarm.toml: gates: two of them have the name 'a'"
