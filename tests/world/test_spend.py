"""The proxy's spend file, read while it grows. The real proxy writes one in tests/runtimes/test_pi_real.py."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog.errors import SwarmError
from swarm.world import Spend
from swarm.world.spend import SpendFile


def call(
    session: str = "s1", model: str = "kimi-k2", ok: bool = True, cost: float | None = 0.5, sent: int = 100
) -> bytes:
    line = {
        "t": 1795245683.5,
        "ok": ok,
        "id": os.urandom(4).hex(),
        "tags": ["User-Agent: pi", f"session={session}", "agent=kim"],
        "key": "kim",
        "model_group": model,
        "input_tokens": sent,
        "output_tokens": 7,
        "cached_tokens": 20,
        "cost": cost,
        "error": None,
    }
    return json.dumps(line).encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spend.jsonl"


def add(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(lines)


def test_a_file_that_is_not_there_yet_says_nothing(path: Path):
    spend = SpendFile(str(path))
    assert spend.totals() == []
    add(path, call())
    assert spend.totals() == [Spend("s1", "kimi-k2", 1, 100, 7, 20, 0.5)]


def test_totals_are_by_session_and_model_since_the_beginning(path: Path):
    add(path, call("s1"), call("s2"), call("s1", "glm-5"), call("s1"))
    assert SpendFile(str(path)).totals() == [
        Spend("s1", "kimi-k2", 2, 200, 14, 40, 1.0),
        Spend("s2", "kimi-k2", 1, 100, 7, 20, 0.5),
        Spend("s1", "glm-5", 1, 100, 7, 20, 0.5),
    ]


def test_only_what_changed_is_told_again(path: Path):
    spend = SpendFile(str(path))
    add(path, call("s1"), call("s2"))
    assert len(spend.totals()) == 2
    assert spend.totals() == []
    add(path, call("s2"))
    assert spend.totals() == [Spend("s2", "kimi-k2", 2, 200, 14, 40, 1.0)]


def test_a_line_counts_when_it_is_whole(path: Path):
    spend, line = SpendFile(str(path)), call()
    add(path, line[:30])
    assert spend.totals() == []
    add(path, line[30:-1])
    assert spend.totals() == []
    add(path, line[-1:])
    assert [total.calls for total in spend.totals()] == [1]


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage\n",
        b"\xff\xfe\n",
        b"\n",
        b"{}\n",
        b'{"x":' * 100_000 + b"\n",
        call(sent=-5),
        call(cost=-1.0),
        call().replace(b'"tags": [', b'"tags": 7, "x": ['),
    ],
)
def test_a_bad_line_is_passed_by(path: Path, bad: bytes):
    add(path, call(), bad, call())
    assert [total.calls for total in SpendFile(str(path)).totals()] == [2]


def test_calls_without_a_session_and_failed_calls_do_not_count(path: Path):
    add(path, call().replace(b"session=s1", b"trace=s1"), call(""), call(ok=False))
    assert SpendFile(str(path)).totals() == []


def test_one_call_without_a_price_makes_the_total_unknown(path: Path):
    spend = SpendFile(str(path))
    add(path, call(cost=0.5), call(cost=None))
    assert spend.totals() == [Spend("s1", "kimi-k2", 2, 200, 14, 40, None)]
    add(path, call(cost=0.5))
    assert [total.cost for total in spend.totals()] == [None]


def test_a_free_call_costs_nothing(path: Path):
    add(path, call(cost=0.0))
    assert [total.cost for total in SpendFile(str(path)).totals()] == [0.0]


def test_a_rotated_file_is_counted_on_top(path: Path):
    spend = SpendFile(str(path))
    add(path, call(), call())
    assert [total.calls for total in spend.totals()] == [2]
    path.rename(path.with_suffix(".1"))
    assert spend.totals() == []
    add(path, call())
    assert [total.calls for total in spend.totals()] == [3]


def test_a_truncated_file_is_read_from_its_start_even_if_it_grew_past_the_old_end(path: Path):
    spend = SpendFile(str(path))
    add(path, call())
    spend.totals()
    assert spend.totals() == []  # a look that finds nothing new forgets nothing
    os.truncate(path, 0)
    add(path, call(), call(), call())
    assert [total.calls for total in spend.totals()] == [4]


def test_a_file_copied_over_itself_counts_nothing_twice(path: Path):
    spend = SpendFile(str(path))
    add(path, call(), call())
    spend.totals()
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes() + call())
    copy.rename(path)
    assert [total.calls for total in spend.totals()] == [3]


def test_a_file_that_cannot_be_read_is_said(path: Path):
    path.mkdir()
    with pytest.raises(SwarmError, match="cannot be read: Is a directory") as refused:
        SpendFile(str(path)).totals()
    assert "spend_log" in refused.value.hint


@given(cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_where_the_reads_fall_makes_no_difference(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]):
    text = b"".join([call("a"), call("b"), b"junk\n", call("a", cost=0.25), call("b"), call("c")])
    path = tmp_path_factory.mktemp("spend") / "spend.jsonl"
    spend, seen, done = SpendFile(str(path)), {}, 0
    for cut in [*sorted(cuts), len(text)]:
        add(path, text[done:cut])
        done = max(done, cut)
        seen |= {total.session: total for total in spend.totals()}
    assert {name: (total.calls, total.cost) for name, total in seen.items()} == {
        "a": (2, 0.75),
        "b": (2, 1.0),
        "c": (1, 0.5),
    }
