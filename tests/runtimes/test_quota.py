"""How providers say that there is no quota left, and until when: lines in the shapes that each agent prints."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.runtimes import pi, provider, quota, shell

NOW = 1_795_273_200.0  # 2026-11-21 15:00:00 UTC
HOUR, DAY = 3600.0, 86_400.0

# --- until when ---


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("try again in 20s", 20),
        ("Try again in 5 minutes.", 300),
        ("please try again in 2h 3m", 2 * HOUR + 180),
        ("or try again in 3 days 4 hours 20 minutes", 3 * DAY + 4 * HOUR + 1200),
        ("Please retry in 35.5s.", 35.5),
        ("Please try again in 450ms", 0.45),
        ("please wait 6m0s", 360),
        ("quota resets in 1 hour, 5 minutes and 3 secs", HOUR + 303),
        ("retry-after: 30", 30),
        ('{"Retry_After": 90}', 90),
        ("usage limit reached|1795276800", HOUR),
        ('"resets_at":1795276800', HOUR),
        ("reset at 1795276800000", HOUR),
        ("resets at 4pm", HOUR),
        ("resets 3pm", DAY),
        ("resets 2:30pm (Europe/Berlin)", DAY - 1800),
        ("resets 12am", 9 * HOUR),
        ("your limit will reset at 16:00 UTC", HOUR),
        ("resets 15:00:01 GMT", 1),
        ("resets 18:00 +02:00", HOUR),
        ("resets Nov 24 at 3pm", 3 * DAY),
        ("try again at Nov 24th, 2026 3:30 PM.", 3 * DAY + 1800),
        ("resets Dec 3, 15:00", 12 * DAY),
        ("will reset at 2026-11-22 16:00:00", DAY + HOUR),
        ("available again at 2026-11-21T23:00:00+07:00", HOUR),
        ("quota will be refreshed at 2026-11-21T15:00:02.500Z", 2),
    ],
)
def test_the_time_of_the_reset_is_read(words: str, seconds: float) -> None:
    for text in (words, f"ERROR: there is no quota. {words} More on that: https://x.invalid/1"):
        assert quota.until(text, NOW) - NOW == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "try again later",
        "2026-11-22T03:00:00Z ERROR usage limit reached",  # the line's own time
        "will reset at 2026-11-20 16:00:00",
        "usage limit reached|1695276800",
        "try again in 90 days",
        "in 15 minutes",
        "resets at 99999999999999999",
    ],
)
def test_where_no_time_to_come_is_named_there_is_none(words: str) -> None:
    assert quota.until(words, NOW) == 0


def test_a_time_of_day_without_a_zone_is_that_of_the_machine() -> None:
    assert quota.until("resets 5pm", NOW, zone=HOUR) == NOW + HOUR
    assert quota.until("resets Nov 22, 5pm", NOW, zone=HOUR) == NOW + DAY + HOUR
    assert quota.until("resets at 2026-11-21 17:00:00", NOW, zone=HOUR) == NOW + HOUR
    assert quota.until("resets 17:00 UTC", NOW, zone=HOUR) == NOW + 2 * HOUR


def test_a_day_without_a_year_is_the_next_such_day() -> None:
    new_years_eve = NOW + 40 * DAY  # 2026-12-31 15:00
    assert quota.until("resets Jan 2 at 3pm", new_years_eve) == new_years_eve + 2 * DAY
    assert quota.until("resets Dec 31 at 4pm", new_years_eve) == new_years_eve + HOUR


# --- who refuses ---

LIMITED = 'litellm.RateLimitError: RateLimitError: OpenAIException - no more\n\nNo fallback was found for "kimi".'


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["Claude AI usage limit reached|1795276800"], HOUR),
        (["5-hour limit reached ∙ resets 4pm"], HOUR),
        (["You've hit your weekly limit · resets Nov 24, 3pm (Europe/Berlin)"], 3 * DAY),
        (["API Error: Request rejected (429) · " + LIMITED.partition("\n")[0]], 0),
        ([json.dumps({"type": "result", "is_error": True, "result": "x" * 900, "api_error_status": 429})], 0),
        (["ERROR: You\u2019ve hit your usage limit. Upgrade to Pro, or", "try again in 2 hours 13 minutes."], 7980),
        (
            [
                '{"type":"turn.started"}',
                '{"type":"turn.failed","error":{"message":"exceeded retry limit, last status: 429 Too Many Requests"}}',
            ],
            0,
        ),
        (['{"type":"error","error":{"name":"APIError","data":{"message":"no more","statusCode":429}}}'], 0),
        ([*LIMITED.splitlines(), "The API provider has rate limited you. Try again later or check your quotas."], 0),
        (["Error: Insufficient credit balance. Add credits."], 0),
        (["Error: 429 You exceeded your current quota, please check your plan and billing details."], 0),
        (["Rate limit reached for gpt-5 in organization org-1 on requests per day. Please try again in 7m12s."], 432),
        (["Quota exceeded for quota metric 'Requests'", "Please retry in 35s."], 35),
        (["urllib.error.HTTPError: HTTP Error 429: Too Many Requests"], 0),
    ],
    ids=lambda value: None if isinstance(value, list) else "",
)
def test_a_script_that_calls_an_agent_fails_as_the_agent_does(lines: list[str], seconds: float) -> None:
    reader = shell.reader()
    for line in ["working", *lines, ""]:
        reader.feed(line.encode())
    outcome = reader.outcome(1)
    assert outcome.quota
    assert outcome.why.startswith("exit code 1: ")
    assert quota.until(outcome.quota, NOW) == (NOW + seconds if seconds else 0)


@pytest.mark.parametrize("says", [said for says in quota.SAID.values() for said in says])
def test_every_entry_of_the_table_is_bounded(says: str) -> None:
    assert "*" not in says
    assert "+" not in says.replace("[+-]", "")


@pytest.mark.parametrize(
    "lines",
    [
        ["429 tests passed, 1 failed"],
        ["test_rate_limit.py:429: AssertionError"],
        ["the limit of 429 files is reached"],
        ["usage: prog [-h] [--limit N]"],
        ["You've got mail"],
        ["curl: (22) The requested URL returned error: 500"],
        ["Claude AI usage limit reached|1795276800", *["and then much else happened"] * quota.LINES],
    ],
)
def test_other_failures_are_no_refusals(lines: list[str]) -> None:
    assert quota.refusal(lines) == ""


def test_a_script_that_ends_well_was_not_refused_whatever_it_printed() -> None:
    reader = shell.reader()
    reader.feed(b"Claude AI usage limit reached|1795276800")
    assert reader.outcome(0).quota == ""
    assert reader.outcome(1).quota


def answer(message: str, reason: str = "error") -> bytes:
    said = {"role": "assistant", "content": [], "stopReason": reason, "errorMessage": message}
    return json.dumps({"type": "message_end", "message": said}).encode()


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("429: " + json.dumps({"message": LIMITED, "type": "throttling_error", "code": "429"}), 0),
        ('429: {"message":"No deployments available for selected model, Try again in 5 seconds."}', 5),
        ('400: {"message":"quota","code":"insufficient_quota"}', 0),
        ("You've hit your usage limit, try again in 3 hours", 3 * HOUR),
    ],
)
def test_pi_was_refused_if_its_last_answer_was(message: str, seconds: float) -> None:
    reader = pi.reader()
    reader.feed(answer(message))
    outcome = reader.outcome(0)
    assert outcome.quota
    assert quota.until(outcome.quota, NOW) == (NOW + seconds if seconds else 0)
    reader.feed(answer("", "stop"))
    assert reader.outcome(0).quota == ""


def test_other_errors_of_pis_model_are_no_refusals() -> None:
    reader = pi.reader()
    reader.feed(answer('401: {"message":"the key is wrong"}'))
    assert reader.outcome(0).quota == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=80) | st.sampled_from(["resets at ", "try again in 5", "429", "|17"]), max_size=20))
def test_any_words_are_read(lines: list[str]) -> None:
    words = quota.refusal(lines)
    assert len(words) <= quota.WORDS
    assert "\n" not in words
    when = quota.until(" ".join(lines), NOW)
    assert when == 0 or NOW < when <= NOW + quota.FURTHEST


@pytest.mark.parametrize("part", ["retry ", "resets at 1", "you've hit your a ", "again in 1 h ", "out of a ", "1-"])
def test_no_line_takes_long(part: str) -> None:
    line = part * 100_000
    quota.refusal([line] * 50)
    quota.until(line[: quota.WORDS], NOW)


# --- whose quota ---


@pytest.mark.parametrize(
    ("runtime", "model", "name"),
    [
        ("pi", "", "llm"),
        ("pi", "kimi-k2", "llm"),
        ("pi", "openai/gpt-5", "openai"),
        ("claude", "opus", "claude"),
        ("codex", "", "codex"),
        ("shell", "openai/gpt-5", "shell"),
        ("opencode", "/x", "opencode"),
    ],
)
def test_a_provider_is_named_by_the_model_or_else_by_the_runtime(runtime: str, model: str, name: str) -> None:
    assert provider(runtime, model) == name
