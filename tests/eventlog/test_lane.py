"""The fast lane does what the whole command line does, to the byte, or it does nothing: on any log, with any words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.eventlog.events import SessionLost
from swarm.eventlog.place import Place

from given import id_of
from lanes import ALWAYS, FOREIGN, KIM, SPOILS, dead, given_to, had, letter, line, own, ready, spoiled, taken
from soak import amount

SEND = ["mail", "send", "--to", "human", "--body", "y"]
CHECK = ["mail", "check"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return ready(tmp_path_factory.mktemp("lane") / "repo")


MATTERS = {
    "letter": [letter(0, "agent-kim")],
    "letter after another": [letter(0, "agent-kim"), had(1, 0, "agent-kim"), letter(2, "agent-kim")],
    "letter to an issue": [given_to(0, "kim", "sw-a"), letter(1, "issue:sw-a")],
    "letter to another": [letter(0, "agent-ann")],
    "delivered": [letter(0, "agent-kim"), had(1, 0, "agent-kim")],
    "delivered to another": [letter(0, "agent-kim", "agent-ann"), had(1, 0, "agent-ann")],
    "acked": [letter(0, "agent-kim"), had(1, 0, "agent-kim", acked=True)],
    "dead": [letter(0, "agent-kim"), dead(1, 0, "agent-kim")],
    "assigned": [letter(0, "issue:sw-a"), given_to(1, "kim", "sw-a")],
}
"""Logs whose last line counts for kim."""


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("case", MATTERS)
def test_a_line_that_is_not_as_ours_is_understood_alike_or_left_to_the_whole_command_line(
    place: Place, case: str, spoil: str
) -> None:
    *lines, last = MATTERS[case]
    log = b"".join(lines) + spoiled(SPOILS[spoil], last)
    many = b"".join(given_to(number, "ann", "sw-b") for number in range(10, 40))
    for content in (log, many + log):
        taken(place, {own(place): content}, CHECK, KIM)
    taken(place, {own(place): log}, SEND, KIM)


# --- any log, any words ---------------------------------------------------------------------------


ADDRESSES = (*ALWAYS, "broadcast", "@builders", "@scouts", "agent-kim", "agent-ann", "issue:sw-a", "issue:sw-b")
BODIES = ("x", "broadcast", '"agent-kim"', '"],"body":"', "a\nb", "\x1b[1m", "\x7f\u2028é\U0001f600", r"\u0061", " ")


def _lines() -> st.SearchStrategy[bytes]:
    pick = st.sampled_from
    letters, later, issues = pick((0, 1, 2, 3)), st.integers(4, 9), pick(("sw-a", "sw-b"))
    to = st.lists(pick(ADDRESSES), min_size=1, max_size=3)
    sources = pick(("human", "agent/kim", "agent/ann", "coordinator"))
    return st.one_of(
        st.builds(lambda number, to, source: letter(number, *to, source=source), letters, to, sources),
        st.builds(had, later, letters, pick((*ALWAYS, "agent-kim", "agent-kim", "agent-ann")), st.booleans()),
        st.builds(dead, later, letters, pick(ADDRESSES)),
        st.builds(given_to, st.integers(0, 9), pick(("kim", "kim", "ann")), issues, pick(("builder", "scout"))),
        st.builds(lambda number, issue: line(number, SessionLost(f"{issue}-1", 1, ""), "", issue), later, issues),
    )


@st.composite
def logs(draw: st.DrawFn) -> dict[str, bytes]:
    """Up to three files, now and then with a line that nobody of ours has written; "" is the file that grows."""
    found = {name: draw(st.lists(_lines(), max_size=5)) for name in ("", id_of(0), FOREIGN)}
    full = [lines for lines in found.values() if lines]
    if full and draw(st.booleans()):
        lines = draw(st.sampled_from(full))
        at = draw(st.integers(0, len(lines) - 1))
        lines[at] = spoiled(SPOILS[draw(st.sampled_from([*SPOILS]))], lines[at])
    return {name: b"".join(lines) for name, lines in found.items() if lines or not name}


WORDS = st.one_of(
    st.tuples(st.just("--to"), st.sampled_from((*ALWAYS, "agent-kim"))),
    st.tuples(st.just("--body"), st.one_of(st.sampled_from(BODIES), st.text(max_size=9))),
    st.tuples(st.just("--type"), st.sampled_from(("blocked", "event", "handoff", "none"))),
    st.tuples(st.just("--priority"), st.sampled_from(("1", "3", "5", "05", " 2", "6", "\u0663"))),
)
SENDING = st.lists(WORDS, max_size=4).map(lambda more: [*SEND, *[word for words in more for word in words]])
CHECKING = st.lists(st.sampled_from(("--json", "--inject", "--to=human", "--to=merger")), max_size=2).map(CHECK.__add__)
ENVIRONMENTS = st.fixed_dictionaries(
    {"SWARM_DURABILITY": st.sampled_from(("none", "none", "none", "group", "fsync", ""))},
    optional={
        "SWARM_AGENT": st.sampled_from(("kim", "kim", "kim", "ann", "agent-ann", "Kim", "")),
        "SWARM_ISSUE": st.sampled_from(("sw-a", 'odd "issue"\n', "")),
    },
)


@pytest.mark.parametrize("words", [SENDING, CHECKING], ids=["send", "check"])
def test_whatever_the_log_and_the_words_the_lane_does_the_same_or_declines(
    place: Place, words: st.SearchStrategy[list[str]]
) -> None:
    took = []

    @settings(max_examples=amount(ci=200, full=20_000), deadline=None, database=None, derandomize=True)
    @given(logs(), words, ENVIRONMENTS)
    def compare(log: dict[str, bytes], args: list[str], env: dict[str, str]) -> None:
        names = {"": own(place), id_of(0): own(place).replace(".", f"-{id_of(0)}."), FOREIGN: FOREIGN}
        took.append(taken(place, {names[name]: content for name, content in log.items()}, args, env))

    compare()
    assert sum(took) > len(took) / 5, "the lane declines nearly everything: then this compares nothing"
