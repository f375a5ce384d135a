"""A model that plays a script, behind OpenAI's chat protocol (standard library only).

    python scripted_model.py [--port N]        prints {"listening": port} and serves 127.0.0.1

The script is in the prompt: `[[play-json:BASE64]]`, urlsafe base64 of a JSON list of steps (see `play`). Which step is
due is counted from the conversation that the caller sends (the assistant's turns after the message with the marker),
so any number of agents may share one server, in any order, and a retried request gets the same answer. Without a
marker the answer is "ok". GET /__requests lists what was asked: {"model", "step", "tools", "last_user"} each.

A step is a dict:
    {"text": "…"}                                  the answer; {last_user} in it becomes the last user's text
    {"op": "write", "path": p, "content": c}       a call of the caller's own tool for it;
    {"op": "edit", "path": p, "old": o, "new": n}  "say" is text before it
    {"op": "read", "path": p}
    {"op": "bash", "cmd": "…"}
and any of them may have
    "usage": {"in": 1000, "out": 50, "cached": 0}  what it claims to have used (these are the defaults)
    "delay": s                                     seconds before the first byte
    "status": 429                                  fail with this HTTP status instead
"""

import argparse
import base64
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = dict[str, Any]

MARKER = re.compile(r"\[\[play-json:([A-Za-z0-9_=-]+)\]\]")
OK: list[Step] = [{"text": "ok"}]
EXHAUSTED: Step = {"text": "The script has no more steps. You said: {last_user}"}


def play(*steps: Step) -> str:
    """The marker that makes the model play these steps: put it anywhere into a prompt or an issue's body."""
    return f"[[play-json:{base64.urlsafe_b64encode(json.dumps(steps).encode()).decode()}]]"


def text_of(content: Any) -> str:
    """The text of a message's content, which is a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [])


def due(messages: list[dict[str, Any]]) -> tuple[Step, int]:
    """The step to play now, and its number."""
    for start in range(len(messages) - 1, -1, -1):
        found = MARKER.findall(text_of(messages[start].get("content")))
        if found and messages[start]["role"] != "assistant":
            steps = json.loads(base64.urlsafe_b64decode(found[-1]))
            number = sum(1 for message in messages[start:] if message["role"] == "assistant")
            return (steps[number] if number < len(steps) else EXHAUSTED), number
    return OK[0], 0


def tool_call(step: Step, offered: dict[str, set[str]]) -> tuple[str, dict[str, Any]]:
    """The caller's tool for the step, and its arguments by the names that the caller's schema gives them."""
    match step["op"]:
        case "bash":
            return "bash", {"command": step["cmd"]}
        case "write":
            return "write", {"path": step["path"], "content": step["content"]}
        case "edit" if "edits" in offered.get("edit", ()):
            return "edit", {"path": step["path"], "edits": [{"oldText": step["old"], "newText": step["new"]}]}
        case "edit":
            return "edit", {"path": step["path"], "oldText": step["old"], "newText": step["new"]}
    return "read", {"path": step["path"]}


class Model(BaseHTTPRequestHandler):
    """One connection of a caller."""

    protocol_version = "HTTP/1.1"
    requests: list[dict[str, Any]] = []
    lock = threading.Lock()

    def log_message(self, *args: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """The requests so far, for asserting on what an agent was offered."""
        with self.lock:
            self.answer(self.requests)

    def do_POST(self) -> None:
        """One chat completion, streamed or not."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        if not self.path.endswith("/chat/completions"):
            return self.answer({"error": {"message": f"there is no {self.path}"}}, 404)
        step, number = due(body["messages"])
        functions = [tool["function"] for tool in body.get("tools") or []]
        offered = {f["name"]: set(f["parameters"].get("properties", {})) for f in functions}
        last_user = next((text_of(m["content"]) for m in reversed(body["messages"]) if m["role"] == "user"), "")
        with self.lock:
            self.requests.append(
                {"model": body["model"], "step": number, "tools": sorted(offered), "last_user": last_user}
            )
        if step.get("delay"):
            time.sleep(step["delay"])
        if step.get("status"):
            error = {"message": f"scripted failure {step['status']}", "type": "scripted", "code": str(step["status"])}
            return self.answer({"error": error}, step["status"])
        message = self.message(step, offered, last_user)
        send = self.stream if body.get("stream") else self.whole
        return send(body["model"], message, step.get("usage") or {})

    @staticmethod
    def message(step: Step, offered: dict[str, set[str]], last_user: str) -> dict[str, Any]:
        """The assistant's message for the step."""
        if "op" not in step:
            return {"role": "assistant", "content": step["text"].replace("{last_user}", last_user[-200:])}
        name, arguments = tool_call(step, offered)
        if name not in offered:
            return {"role": "assistant", "content": f"I was offered no tool {name!r}."}
        call = {"name": name, "arguments": json.dumps(arguments)}
        calls = [{"index": 0, "id": f"call_{uuid.uuid4().hex[:16]}", "type": "function", "function": call}]
        return {"role": "assistant", "content": step.get("say", ""), "tool_calls": calls}

    @staticmethod
    def frame(model: str, kind: str, choice: dict[str, Any], used: dict[str, int]) -> dict[str, Any]:
        """What surrounds each choice."""
        sent, got = used.get("in", 1000), used.get("out", 50)
        usage = {
            "prompt_tokens": sent,
            "completion_tokens": got,
            "total_tokens": sent + got,
            "prompt_tokens_details": {"cached_tokens": used.get("cached", 0)},
        }
        head = {"id": f"chatcmpl-{uuid.uuid4().hex[:12]}", "object": kind, "created": int(time.time()), "model": model}
        return {**head, "choices": [{"index": 0, **choice}], "usage": usage}

    def whole(self, model: str, message: dict[str, Any], used: dict[str, int]) -> None:
        """The answer in one piece."""
        choice = {"message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        self.answer(self.frame(model, "chat.completion", choice, used))

    def stream(self, model: str, message: dict[str, Any], used: dict[str, int]) -> None:
        """The answer as server-sent events; the usage comes with the last one."""
        kind = "chat.completion.chunk"
        end = {"delta": {}, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        first = self.frame(model, kind, {"delta": message, "finish_reason": None}, used)
        last = self.frame(model, kind, end, used)
        del first["usage"]
        last["id"] = first["id"]
        events = [json.dumps(first), json.dumps(last), "[DONE]"]
        self.send("text/event-stream", "".join(f"data: {event}\n\n" for event in events).encode(), 200)

    def answer(self, value: Any, status: int = 200) -> None:
        """A JSON document."""
        self.send("application/json", json.dumps(value).encode(), status)

    def send(self, kind: str, body: bytes, status: int) -> None:
        """Headers and body; a caller that is gone already is fine."""
        try:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="a model that plays a script")
    parser.add_argument("--port", type=int, default=0)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Model)
    server.daemon_threads = True
    print(json.dumps({"listening": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
