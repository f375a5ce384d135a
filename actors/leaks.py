"""The leak guard: the person's checkout before and after each attempt. Rule: a change is told once; what our own
landings brought is none; only with evidence is it the agent's, for people edit too.
"""

from ..eventlog.events import CheckoutSeen, LeakDetected
from ..eventlog.text import fitting
from ..projections import agents, fact, happened
from ..world import Checkout, Secured, Traces
from .command import Said, Step
from .hands import Hands

_NAMED = 5
_NAME, _MARK = 8, 16
"""Digits of a file's name, and of its whole mark."""


class Look(Step, frozen=True):
    """See the person's checkout as it is before the agent begins."""

    cause: str


def seen(attempt: agents.Attempt) -> CheckoutSeen | None:
    """What there is to compare with, as long as nothing was told of it."""
    return None if happened(attempt.latest, LeakDetected) else fact(attempt.latest, CheckoutSeen)


def look(command: Look, hands: Hands) -> list[Said]:
    """Do it."""
    there = hands.repository.checkout()
    marks = sorted(there.marks.values())
    files = len(marks) + there.more
    said = CheckoutSeen(command.attempt, there.head, there.branch, there.state, files, "".join(marks))
    return [Said(command.issue, said, command.cause)]


def compare(before: CheckoutSeen, agent: str, base: str, secured: Secured, hands: Hands) -> LeakDetected | None:
    """What to say of the checkout, now that the agent has ended; nothing if all is well."""
    there = hands.repository.checkout()
    if (there.head, there.branch, there.state) == (before.head, before.branch, before.state):
        return None
    found = hands.repository.traces(before.head, base, secured.commit, hands.author(agent))
    changed = _changed(before, there)
    what = [*_moved(before, there, found), *_touched(before, there, changed)]
    if not what:
        return None
    evidence = _evidence(before, there, found, changed, agent)
    return LeakDetected(attempt=before.attempt, what="; ".join(what), evidence=evidence, files=fitting(changed))


def _changed(before: CheckoutSeen, there: Checkout) -> list[str]:
    """The files that are not as they were, by name; none where that was not noted down."""
    if before.files < 0:
        return []
    known, edge = frozenset(_marks(before)), _edge(before, there)
    return [name for name, mark in there.marks.items() if mark not in known and mark[:_NAME] <= edge]


def _marks(before: CheckoutSeen) -> list[str]:
    return [before.marks[place : place + _MARK] for place in range(0, len(before.marks), _MARK)]


def _edge(before: CheckoutSeen, there: Checkout) -> str:
    """Names with greater digits than these were not marked in both."""
    then, now = _marks(before), list(there.marks.values())
    cut = [marks for marks, more in ((then, before.files > len(then)), (now, there.more)) if marks and more]
    return min((max(marks)[:_NAME] for marks in cut), default="g")


def _moved(before: CheckoutSeen, there: Checkout, found: Traces) -> list[str]:
    """In words, what its HEAD did that was no landing's doing."""
    if there.branch != before.branch:
        return [f"the checkout went from {before.branch or 'no branch'} to {there.branch or 'no branch'}"]
    where = there.branch or "its HEAD"
    what = [f"{where} does not have {before.head[:10]} any more"] if found.back else []
    return what + ([f"{where} got {_listed([commit[:10] for commit in found.commits])}"] if found.commits else [])


def _touched(before: CheckoutSeen, there: Checkout, changed: list[str]) -> list[str]:
    """In words, what became of its files."""
    if before.files < 0 or there.state == before.state:
        return []
    left, edge = {mark[:_NAME] for mark in there.marks.values()}, _edge(before, there)
    gone = sum(mark[:_NAME] not in left and mark[:_NAME] <= edge for mark in _marks(before))
    what = [f"files changed: {_listed(changed)}"] if changed else []
    what += ["changed files are gone"] if gone else []
    return what or ["files changed, among more than are looked at"]


def _evidence(before: CheckoutSeen, there: Checkout, found: Traces, changed: list[str], agent: str) -> str:
    """Why it was the agent; empty if it may have been a person. A file that was there before as it is now is none."""
    why = []
    if found.own and there.branch == before.branch:
        why.append(f"{agent} made {_listed([commit[:10] for commit in found.own])}")
    if files := [name for name in found.files if name in changed]:
        why.append(f"{_listed(files)} as in its work")
    return "; ".join(why)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
