"""The runtime `pi`: the coding agent from npm, headless, read through its JSON events (`--mode json`).

Rule: pi's exit code is 0 even when the model failed, so only the last answer's `stopReason` tells how it went.
Measured with @earendil-works/pi-coding-agent 0.87.1 and @mariozechner/pi-coding-agent 0.73.1, which differ in nothing
that is used here.

With `[llm] base_url` the session gets a configuration of its own, so nothing of its user's (keys, prompts, extensions)
reaches it, and every call carries tags that tell the proxy's spend log whose it is. Without it, pi runs as its user
set it up.
"""

import json
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..eventlog.errors import UsageError
from ..eventlog.text import head, plain
from . import Launch, Outcome, Task, Usage, ending, one_line
from .quota import refusal

BINARY = "pi"
INSTALL = "npm install --global @earendil-works/pi-coding-agent  (needs Node.js 22.19 or newer)"

READ_ONLY = "read,grep,find,ls"
REPORT_BYTES = 8192


def launch(task: Task) -> Launch:
    """Run pi with the prompt on standard input; raises UsageError when a proxy is set and no model is."""
    argv = [task.binary or BINARY, "-p", "--mode", "json", "--session-dir", f"{task.run_dir}/sessions"]
    env = {"PI_TELEMETRY": "0"}
    files = {}
    if task.llm.base_url:
        if not task.model:
            raise UsageError(
                f"issue {task.issue} has no model, and the runtime 'pi' needs one to ask the proxy for",
                "set `model` under [start] in swarm.toml, or pass --model",
            )
        home = f"{task.run_dir}/pi"
        argv += ["--provider", "swarm"]
        files[f"{home}/models.json"] = json.dumps(_models(task), indent=1)
        env |= {
            "PI_CODING_AGENT_DIR": home,
            "PI_OFFLINE": "1",
            "SWARM_LLM_KEY": task.llm.key,
            "SWARM_TAGS": _tags(task),
        }
    if task.model:
        argv += ["--model", task.model]
    if task.role == "scout":
        argv += ["--tools", READ_ONLY]
    return Launch(argv=(*argv, *task.args), env=env, files=files, stdin=task.prompt)


def _tags(task: Task) -> str:
    """LiteLLM's request tags: world/spend.py finds the session by the first."""
    return f"session={task.session},issue={task.issue},agent={task.agent}"


def _models(task: Task) -> dict[str, Any]:
    """pi's models.json (its docs/models.md): the proxy as the one provider. The key stays in the environment: `!…` is
    a command that pi runs for the value, the one form that both versions know. `cost` is dollars per million tokens.
    """
    base = task.llm.base_url.rstrip("/")
    price_in, price_out = task.llm.prices.get(task.model, (0.0, 0.0))
    cost = {"input": price_in, "output": price_out, "cacheRead": price_in, "cacheWrite": price_in}
    provider = {
        "baseUrl": base if base.endswith("/v1") else f"{base}/v1",
        "api": "openai-completions",
        "apiKey": "!printenv SWARM_LLM_KEY",
        "headers": {"x-litellm-tags": "!printenv SWARM_TAGS"},
        "compat": {"supportsDeveloperRole": False, "supportsReasoningEffort": False},
        "models": [{"id": task.model, "contextWindow": 128_000, "maxTokens": 16_384, "cost": cost}],
    }
    return {"providers": {"swarm": provider}}


# --- reading --------------------------------------------------------------------------------------

Count = Annotated[int, Meta(ge=0, le=10**15)]
Money = Annotated[float, Meta(ge=0)]


class Cost(msgspec.Struct, frozen=True):
    """Dollars, from the prices in models.json."""

    total: Money = 0.0


class Tokens(msgspec.Struct, frozen=True, rename="camel"):
    """`input` is what no cache held."""

    input: Count = 0
    output: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    cost: Cost = Cost()


class Block(msgspec.Struct, frozen=True):
    """A part of an answer; only texts matter here."""

    type: str = ""
    text: str = ""


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """An assistant's message; others do not decode. `stop_reason`: stop, toolUse, length, error or aborted."""

    role: Literal["assistant"]
    stop_reason: str
    model: str = ""
    error_message: str = ""
    usage: Tokens = Tokens()
    content: list[Block] = []


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One event of `--mode json`; each field belongs to some types only."""

    type: str = ""
    id: str = ""
    tool_name: str = ""
    args: dict[str, Any] = {}
    error_message: str = ""
    message: msgspec.Raw = msgspec.Raw()


LIMITED = re.compile(r"^(?:429|529)\b|overloaded|rate.?limit|too many requests", re.IGNORECASE)
"""Errors with which a provider asks for a pause."""
LINE = msgspec.json.Decoder(Line)
ANSWER = msgspec.json.Decoder(Answer)


def reader() -> "Events":
    """A reader for one session."""
    return Events()


class Events:
    """pi's JSON lines, folded."""

    def __init__(self) -> None:
        self.tools = 0
        self.note = ""
        self.state = ""
        self._session = ""
        self._last: Answer | None = None
        self._text = ""
        self._used: dict[str, Usage] = {}

    @property
    def usage(self) -> tuple[Usage, ...]:
        """Totals by model. pi does not say whether it knows a price: tokens that cost nothing have an unknown one."""
        return tuple(self._used.values())

    def feed(self, line: bytes) -> None:
        """Take one line; whatever is no event of pi's is passed by."""
        try:
            self._take(LINE.decode(line))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors; nesting without end is the other
            return

    def _take(self, event: Line) -> None:
        if event.type != "entry_appended":  # it follows at once, and the pause goes on
            self.state = ""
        match event.type:
            case "session":
                self._session = event.id
            case "tool_execution_start":
                self.tools += 1
                self.note = one_line(f"{event.tool_name}: {_subject(event.args)}")
            case "auto_retry_start":
                self.note = one_line(f"trying again after: {_reason(event.error_message)}")
                self.state = "rate_limited" if LIMITED.search(event.error_message[:4096]) else ""
            case "message_end":
                self._answered(ANSWER.decode(event.message))

    def _answered(self, answer: Answer) -> None:
        self._last = answer
        text = "\n".join(block.text for block in answer.content if block.type == "text").strip()
        self._text = text or self._text
        tokens = answer.usage
        sent = tokens.input + tokens.cache_read + tokens.cache_write
        if sent + tokens.output == 0:
            return  # a call that failed: the proxy counts none either
        before = self._used.get(answer.model, Usage(answer.model))
        self._used[answer.model] = Usage(
            answer.model,
            calls=before.calls + 1,
            input_tokens=before.input_tokens + sent,
            output_tokens=before.output_tokens + tokens.output,
            cached_tokens=before.cached_tokens + tokens.cache_read,
            cost=((before.cost or 0.0) + tokens.cost.total) or None,
        )

    def outcome(self, code: int) -> Outcome:
        """Only an exit code of 0 after an answer that ended by itself is success."""
        why = self._failure(code)
        report = head(plain(self._text), REPORT_BYTES)
        return Outcome(ok=not why, why=why, report=report, resume=self._session, quota=self._refusal())

    def _refusal(self) -> str:
        """Only the last answer counts: what was refused before, pi has tried again itself."""
        if self._last is None or self._last.stop_reason != "error":
            return ""
        message = plain(self._last.error_message)
        return one_line(message, 400) if message.startswith("429") else refusal(message.splitlines())

    def _failure(self, code: int) -> str:
        last = self._last
        if last is not None and last.stop_reason == "error":
            return one_line(f"the model failed: {_reason(last.error_message)}", 300)
        if code != 0:
            return ending(code)
        if last is None:
            return "pi ended without an answer from a model"
        if last.stop_reason != "stop":
            return one_line(f"pi ended in the middle of its work: its last answer stopped for {last.stop_reason!r}")
        return ""


def _subject(args: dict[str, Any]) -> str:
    """What a tool is used on: the argument that names it, or else the first text among them."""
    named = [args.get(key) for key in ("command", "path", "pattern")]
    return next((value for value in (*named, *args.values()) if isinstance(value, str)), "")


def _reason(message: str) -> str:
    """The words inside `429: {"message": "…"}`, a provider's answer as pi passes it on; else the message itself."""
    status, _, body = message.partition(": ")
    try:
        words = msgspec.json.decode(body, type=dict[str, Any])["message"].partition("\n")[0]
    except (ValueError, KeyError, AttributeError, RecursionError):
        return message or "no reason was given"
    return f"{status}: {words}"
