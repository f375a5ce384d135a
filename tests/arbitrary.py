"""Any history, and all that can be seen of what comes of it: for properties that hold whatever happened.

Rule: ids are few, so that events meet; what is seen of a state is everything it has and everything it answers.
"""

import inspect
import random
from collections.abc import Iterator, Mapping, Set
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from swarm.eventlog import events as page
from swarm.eventlog.events import Part
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import envelope
from swarm.mailbox import addresses, letters, screen, views
from swarm.projections import Board, issues

LENGTH = 30
IDS = [f"019aa3c1-b2c3-7{number:03x}-8000-0000000000{number:02x}" for number in range(LENGTH)]
FIRST = IDS[:4]
"""The ids of the events that open things: what generations and letters refer to."""
ISSUES = ["sw-a", "sw-b", "sw-c"]
AGENTS = ["builder-1", "builder-2", "scout-1"]
SOURCES = ["human", "agent/builder-1", "agent/scout-1", "coordinator", "watchdog", "session/sw-a-1"]
READERS = ["human", "coordinator", "agent-builder-1", "agent-scout-1"]
COMMITS = ["a" * 40, "b" * 40, "c" * 40]
BATCHES = ["b-1", "b-2", "b-3", "b-4"]
POOLS: dict[str, list[Any]] = {
    "after": ["", *BATCHES],
    "of": ["", *BATCHES],
    "batch": ["", *BATCHES],
    "tip": ["", *COMMITS],
    "verdict": ["passed", "failed", "broken", "none"],
    "tree": COMMITS,
    "commits": COMMITS,
    "generation": FIRST,
    "letter": FIRST,
    "reply_to": ["", *FIRST],
    "session": ["sw-a-1", "sw-a-1-gate", "sw-b-2", "sw-c-3"],
    "attempt": [1, 2, 3],
    "agent": AGENTS,
    "role": ["builder", "scout"],
    "kind": ["agent", "gate", "landing"],
    "origin": ["runtime", "proxy"],
    "model": ["", "m1"],
    "reader": READERS,
    "recipient": READERS,
    "to": [*READERS, "broadcast", "@builders", "issue:sw-a"],
    "needs": ISSUES,
    "issue": ["", *ISSUES],
    "base": COMMITS,
    "commit": COMMITS,
    "priority": [1, 3],
    "about": IDS[:12],
    "alerts": ["hook"],
    "channel": ["hook", "slack"],
    "unit": ["usd", "tokens"],
}
BY_TYPE: dict[Any, list[Any]] = {
    str: ["", "x", "y"],
    int: [0, 1, 7],
    float: [0.5, 2.0],
    bool: [True, False],
    type(None): [None],
}


def fields_of(kind: type[Fact]) -> dict[str, st.SearchStrategy[Any]]:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return {name: field(name, hint) for name, hint in hints.items()}


def field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is list:
        return st.lists(field(name, get_args(hint)[0]), max_size=2)
    if get_origin(hint) is tuple:
        return st.tuples(*(field({str: "issue", int: "attempt"}[part], part) for part in get_args(hint)))
    if get_origin(hint) is dict:
        return st.dictionaries(st.sampled_from(["x", "y"]), field(name, get_args(hint)[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Part):
        parts = get_type_hints(hint)
        return st.builds(hint, **{part: field(part, parts[part]) for part in hint.__struct_fields__})
    choices = [choice for kind in get_args(hint) or (hint,) for choice in BY_TYPE[kind]]
    pool = POOLS.get(name, choices)
    return st.sampled_from(pool if hint is not float else choices)


@cache  # a strategy that is made anew for each draw costs more than the draw
def facts(kind: type[Fact]) -> st.SearchStrategy[tuple[Fact, str, str]]:
    """(fact, source, subject)"""
    subjects = ISSUES
    if kind.type in ("mail.delivered", "mail.acked", "mail.dead_lettered"):
        subjects = FIRST
    elif kind.type in ("alert.delivered", "alert.failed"):
        subjects = IDS[4:12]
    elif kind.type.startswith(("run.", "actor.")):
        subjects = ["run-1", "run-2"] if kind.type.startswith("run.") else ["merger", "scout"]
    elif kind.type.startswith(("batch.", "validation.", "queue.")):
        subjects = ["run-1", "run-2"] if kind.type.startswith("queue.") else BATCHES
    return st.tuples(st.builds(kind, **fields_of(kind)), st.sampled_from(SOURCES), st.sampled_from(subjects))


OPENERS = st.sampled_from([page.IssueOpened, page.IssueReopened, page.MailSent]).flatmap(facts)


def histories(kinds: list[type[Fact]]) -> st.SearchStrategy[list[Event[Any]]]:
    """Events with ids of their own, in the order of these; the first ones open issues and send letters."""
    others = st.sampled_from(kinds).flatmap(facts)
    heads, bodies = st.lists(OPENERS, min_size=2, max_size=4), st.lists(others, max_size=LENGTH - 4)
    return st.tuples(heads, bodies).map(lambda parts: [*stamped(parts[0] + parts[1])])


def stamped(drafts: list[tuple[Fact, str, str]]) -> Iterator[Event[Any]]:
    for id_, (fact, source, subject) in zip(IDS, drafts, strict=False):
        yield envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject, correlationid="run-1")


def shuffled(events: list[Event[Any]], seed: int) -> list[list[Event[Any]]]:
    """Each event twice, in any order, in portions of any size."""
    chance = random.Random(seed)
    mixed = events * 2
    chance.shuffle(mixed)
    portions = []
    while mixed:
        size = chance.randint(1, len(mixed))
        portions.append(mixed[:size])
        mixed = mixed[size:]
    return portions


# --- what is compared -----------------------------------------------------------------------------


def everything(value: Any) -> Any:
    """All of a state: its attributes, and the answer of every property and method that needs no argument.

    The order of a list counts, that of a dict does not: nobody may see it.
    """
    if isinstance(value, Mapping):
        return sorted((repr(key), everything(item)) for key, item in value.items())
    if isinstance(value, list | tuple | Iterator):
        return [everything(item) for item in value]
    if isinstance(value, Set):
        return sorted(map(repr, value))
    if isinstance(value, Event | Fact):
        return repr(value)
    if isinstance(value, msgspec.Struct) or hasattr(value, "__dict__"):
        return sorted((name, repr(everything(answer))) for name, answer in answers(value))
    return repr(value)


def answers(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for name, is_method in questions(type(value)):
        answer = getattr(value, name)
        yield name, answer() if is_method else answer


@cache
def questions(kind: type) -> list[tuple[str, bool]]:
    """The public attributes of a class, and whether each is a method to call; methods with arguments are left out."""
    found = [(name, inspect.getattr_static(kind, name)) for name in dir(kind) if not name.startswith("_")]
    return [
        (name, inspect.isfunction(member))
        for name, member in found
        if not callable(member) or (inspect.isfunction(member) and len(inspect.signature(member).parameters) == 1)
    ]


def visible(board: Board) -> Any:
    """What people and actors see of the whole board."""
    readers = [addresses.reader(board, address) for address in READERS]
    state = board[issues.State]
    return (
        [view(board) for view in (views.counts_view, views.issues_view, views.agents_view, views.merges_view)],
        [view(board) for view in (views.costs_view, views.mail_view, views.flakes_view)],
        screen.screen(board, "head", width=500),
        [[letter.id for letter in letters.unread(board, reader)] for reader in readers],
        [[letter.id for letter in letters.waiting_for(board, actor)] for actor in addresses.ACTORS],
        [issue.id for issue in state.ready()],
        [(issue.id, issue.status, issue.reason, state.waiting(issue)) for issue in state.known()],
        board.newest,
    )


SEEDS = st.integers(0, 2**32)


# --- histories as they happen ---------------------------------------------------------------------


class Lives:
    """Issues that live their lives, as far as chance has it: `events`, in the order of their ids.

    What happens has its reasons here (only what is assigned can land, only what was sent is read), so that things come
    to rest; and then again they are reopened, or read late.
    """

    def __init__(self, seed: int, length: int = 150) -> None:
        self._chance = random.Random(seed)
        self._drafts: list[tuple[str, str, Fact]] = []
        self._ids = [f"019aa3c1-b2c3-7{number:03x}-8000-0000000000{number & 0xFF:02x}" for number in range(length + 9)]
        self._issues: dict[str, str] = {}
        self._attempts: dict[tuple[str, int], str] = {}
        self._letters: list[tuple[str, list[str]]] = []
        while len(self._drafts) < length:
            self._chance.choice(
                [self._open, self._assign, self._work, self._work, self._write, self._read, self._end, self._end]
            )()
        stamped_ = zip(self._ids, self._drafts, strict=False)
        self.events: list[Event[Any]] = [
            envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject, correlationid="run-1")
            for id_, (source, subject, fact) in stamped_
        ]

    def portions(self) -> list[list[Event[Any]]]:
        """As they arrive: nearly in order, some much later, some again."""
        chance, waiting, portions = self._chance, list[Event[Any]](), list[list[Event[Any]]]()
        todo = list(self.events)
        while todo:
            size = chance.randint(1, 20)
            portion, todo = todo[:size], todo[size:]
            late = [event for event in portion if chance.random() < 0.1]
            again = chance.choices(self.events[: -len(todo) or None], k=2)
            portions.append([event for event in portion if event not in late] + again)
            if chance.random() < 0.3:
                portions[-1] += waiting
                waiting = []
            waiting += late
        return [*portions, waiting]

    def _say(self, source: str, subject: str, fact: Fact) -> str:
        self._drafts.append((source, subject, fact))
        return self._ids[len(self._drafts) - 1]

    def _open(self) -> None:
        name = f"sw-{len(self._issues)}"
        needs = [need for need in self._issues if self._chance.random() < 0.1]
        self._issues[name] = self._say("human", name, page.IssueOpened(title=name, needs=needs))

    def _assign(self) -> None:
        for name in self._chance.sample(sorted(self._issues), min(1, len(self._issues))):
            number = 1 + max((n for issue, n in self._attempts if issue == name), default=0)
            agent = self._chance.choice(AGENTS)
            self._attempts[name, number] = agent
            role = agent.partition("-")[0]
            self._say("coordinator", name, page.IssueAssigned(number, self._issues[name], agent, role, "shell"))

    def _work(self) -> None:
        for (name, number), agent in self._chance.sample(sorted(self._attempts.items()), min(1, len(self._attempts))):
            session, source = f"{name}-{number}", f"session/{name}-{number}"
            self._say(
                source,
                name,
                self._chance.choice(
                    [
                        page.SessionProgressed(session, number, self._chance.randint(1, 99)),
                        page.UsageReported(session, number, "m1", "runtime", calls=len(self._drafts), cost=0.1),
                        page.UsageReported(session, number, "m1", "proxy", calls=len(self._drafts), cost=0.2),
                        page.SessionStarted(session, number, "agent", "boot", 1, 1, 1, 1),
                        page.WorktreePrepared(number, "p", f"swarm/{agent}/{session}", COMMITS[0]),
                        page.MergeQueued(number, f"swarm/{agent}/{session}", COMMITS[1]),
                    ]
                ),
            )

    def _end(self) -> None:
        for (name, number), _ in self._chance.sample(sorted(self._attempts.items()), min(1, len(self._attempts))):
            generation = self._issues[name]
            fact = self._chance.choice(
                [
                    page.SessionExited(f"{name}-{number}", number, 0, ok=True, seconds=1.0),
                    page.WorktreeRemoved(number, "p", COMMITS[1]),
                    page.MergeLanded(number, "main", COMMITS[0], COMMITS[2]),
                    page.WorkRejected(number, "no"),
                    page.AttemptRetried(number, "no"),
                    page.IssueClosed(generation),
                    page.IssueClosed(generation),
                    page.IssueHeld(generation, "no"),
                    page.IssueReopened(),
                ]
            )
            said = self._say("coordinator", name, fact)
            if isinstance(fact, page.IssueReopened):
                self._issues[name] = said

    def _write(self) -> None:
        some = sorted(self._issues) or ["sw-0"]
        pool = [*READERS, "broadcast", "@builders", "@scouts", f"issue:{self._chance.choice(some)}"]
        to = self._chance.sample(pool, self._chance.randint(1, 2))
        about = self._chance.choice(["", *some])
        sent = self._say(self._chance.choice(SOURCES), about, page.MailSent(to, "hello", issue=about))
        self._letters.append((sent, to))

    def _read(self) -> None:
        for letter, to in self._chance.sample(self._letters, min(2, len(self._letters))):
            reader = self._chance.choice([*(address for address in to if address in READERS), *READERS])
            kind = self._chance.choice([page.MailDelivered, page.MailAcked])
            self._say(reader.replace("agent-", "agent/"), letter, kind(letter=letter, reader=reader))
            if self._chance.random() < 0.1:
                self._say("watchdog", letter, page.MailDeadLettered(letter, self._chance.choice(to), "gone"))
