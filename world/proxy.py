"""Whether the LLM proxy is there. Rule: it is only asked what costs nothing (its `/health` would call every model).

The paths are LiteLLM's; any other OpenAI-compatible endpoint answers `/v1/models`, if only to say that a key is wanted.
"""

SECONDS = 5.0


def trouble(base_url: str, key: str) -> str:
    """Why agents would not reach a model through `base_url`, in words; empty if it answers."""
    import httpx  # a seventh of a second: paid only where a proxy is configured

    root = base_url.rstrip("/").removesuffix("/v1")
    try:
        answer = httpx.get(
            f"{root}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS, trust_env=False
        )
    except httpx.HTTPError as error:
        return f"the LLM proxy at {base_url} does not answer: {error or type(error).__name__}"
    if answer.status_code in (400, 401, 403):
        return f"the LLM proxy at {base_url} refuses the key (status {answer.status_code})"
    if answer.status_code >= 500:
        return f"the LLM proxy at {base_url} fails (status {answer.status_code})"
    return ""
