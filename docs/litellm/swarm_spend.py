"""For LiteLLM's proxy: a spend log without a database, and keys without one. Rule: one JSON object per line and call.

Named in the proxy's configuration, beside which this file lies (litellm.yaml here is a sample):

    litellm_settings: { callbacks: swarm_spend.handler }
    general_settings: { custom_auth: swarm_spend.auth }

The lines go to the file in SWARM_SPEND_LOG. A line is
    {"t": unix seconds, "ok": bool, "id": str, "tags": ["session=…", …], "key": agent or null, "model_group": str,
     "input_tokens": int, "output_tokens": int, "cached_tokens": int, "cost": dollars or null, "error": str or null}
where `input_tokens` has the cached ones in it, `model_group` is the name the caller asked for, and `cost` is null
where LiteLLM knows no price. Streamed calls, which carry no cost header, are in it as well.
"""

# ruff: noqa: ARG001, ARG002 - LiteLLM calls these with arguments that are not needed here

import fcntl
import json
import os
import time

from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

KEY = "sk-swarm-"


class SpendLog(CustomLogger):
    """Appends a line for every call that LiteLLM tells us of."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.append(kwargs, ok=True)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.append(kwargs, ok=False)

    def append(self, kwargs, ok):
        """One write per line, under a lock: the proxy may have several workers."""
        line = json.dumps(record(kwargs, ok)) + "\n"
        with open(self.path, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(line)


def record(kwargs, ok):
    """The line for one call; `standard_logging_object` is what LiteLLM promises its loggers."""
    call = kwargs.get("standard_logging_object") or {}
    metadata = call.get("metadata") or {}
    details = (metadata.get("usage_object") or {}).get("prompt_tokens_details") or {}
    error = call.get("error_information") or {}
    return {
        "t": time.time(),
        "ok": ok,
        "id": call.get("id"),
        "tags": call.get("request_tags") or [],
        "key": metadata.get("user_api_key_alias"),
        "model_group": call.get("model_group") or call.get("model") or "",
        "input_tokens": call.get("prompt_tokens") or 0,
        "output_tokens": call.get("completion_tokens") or 0,
        "cached_tokens": details.get("cached_tokens") or 0,
        "cost": cost(call, kwargs.get("litellm_params") or {}),
        "error": None if ok else error.get("error_class") or "unknown",
    }


def cost(call, deployment):
    """Dollars. LiteLLM says 0 for a model without a price: that is unknown, unless the price was set to 0."""
    dollars = call.get("response_cost")
    return dollars or (0.0 if deployment.get("input_cost_per_token") == 0 else None)


handler = SpendLog(os.environ.get("SWARM_SPEND_LOG", "spend.jsonl"))


async def auth(request, api_key):
    """Accepts `sk-swarm-<agent>`: a name for the spend log and no secret, so let the proxy listen on loopback only."""
    agent = (api_key or "").removeprefix("Bearer ").removeprefix(KEY)
    if not agent or agent == (api_key or "").removeprefix("Bearer "):
        raise HTTPException(status_code=401, detail=f"a key of this proxy is {KEY}<agent>")
    return UserAPIKeyAuth(api_key=KEY + agent, key_alias=agent, user_id=agent)
