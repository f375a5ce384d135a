"""Two real pi agents, two issues, the real LiteLLM proxy; what was used and cost is what both really reported."""

from pathlib import Path

import pytest

from llm import MODEL, PRICES, Proxy, tools
from scripted_model import play
from stage import Stage


def configure(stage: Stage, proxy: Proxy) -> None:
    """A swarm.toml as a person would write it for that proxy."""
    cost_in, cost_out = PRICES[MODEL]
    (stage.root / "swarm.toml").write_text(
        f'[start]\nruntime = "pi"\nmodel = "{MODEL}"\n\n'
        f'[llm]\nbase_url = "{proxy.base_url}"\nspend_log = "{proxy.spend_log}"\n'
        f'prices = {{ "{MODEL}" = [{cost_in}, {cost_out}] }}\n\n'
        f'[runtimes.pi]\nbinary = "{tools().pi}"\n'
    )
    stage.git("add", "-A")
    stage.git("commit", "-qm", "settings")


@pytest.mark.pi
def test_two_pi_agents_do_two_issues_through_the_real_proxy(stage: Stage, proxy: Proxy) -> None:
    configure(stage, proxy)
    steps = [
        play(
            {"op": "write", "path": f"{name}.txt", "content": f"{name}\n"},
            {"op": "bash", "cmd": mail},
            {"text": "Done."},
        )
        for name, mail in (("b", "swarm mail send --to human --type progress --body written"), ("c", "cat a.txt"))
    ]
    ids = [stage.issue(f"Write {name}", step) for name, step in zip("bc", steps, strict=True)]
    env = {"PATH": tools().path, "SWARM_LLM_KEY": "sk-swarm-test"}
    done = stage.start("--max-agents", "2", "--test", "test -f a.txt", **env)
    assert done.code == 0, done.out + done.err
    assert {"b.txt", "c.txt"} <= stage.files()
    assert {event.data.agent for event in stage.events("issue.assigned")} == {"builder-1", "builder-2"}
    assert [row["from"] for row in stage.json("mail", "list")] in (["agent-builder-1"], ["agent-builder-2"])

    spent = [line for issue in ids for line in proxy.spent(f"{issue}-1")]
    reported = [event.data for event in stage.events("usage.reported") if event.data.origin == "runtime"]
    last = {usage.session: usage for usage in reported}
    costs = stage.json("status")["costs"]
    assert costs["calls"] == len(spent) == 6
    assert costs["input_tokens"] == sum(line["input_tokens"] for line in spent)
    assert costs["output_tokens"] == sum(line["output_tokens"] for line in spent)
    assert costs["cost"] == pytest.approx(sum(line["cost"] for line in spent))
    assert sum(usage.input_tokens for usage in last.values()) == costs["input_tokens"]
    assert sum(usage.cost for usage in last.values()) == pytest.approx(costs["cost"])
    assert costs["cost"] > 0


@pytest.mark.pi
def test_a_model_that_refuses_is_a_failure_though_pi_exits_with_zero(stage: Stage, proxy: Proxy) -> None:
    configure(stage, proxy)
    issue = stage.issue("Write b", play({"text": "never", "status": 401}))
    env = {"PATH": tools().path, "SWARM_LLM_KEY": "sk-swarm-test"}
    done = stage.start("--max-retries", "0", **env)
    assert done.code == 1
    assert stage.events("session.exited")[0].data.code == 0
    assert not stage.events("session.exited")[0].data.ok
    assert stage.row(issue)["status"] == "blocked"
    assert not (Path(stage.root) / "b.txt").exists()
