"""The leak guard: the person's checkout before and after each attempt. Rule: a change is told once; what our own
landings brought is none; only with evidence is it the agent's, for people edit too.
"""

from ..eventlog.events import CheckoutSeen, LeakDetected
from ..projections import agents, fact, happened
from ..world import Checkout, Secured, Traces
from .command import Said, Step
from .hands import Hands

_NAMED = 5


class Look(Step, frozen=True):
    """See the person's checkout as it is before the agent begins."""

    cause: str


def seen(attempt: agents.Attempt) -> CheckoutSeen | None:
    """What there is to compare with, as long as nothing was told of it."""
    return None if happened(attempt.latest, LeakDetected) else fact(attempt.latest, CheckoutSeen)


def look(command: Look, hands: Hands) -> list[Said]:
    """Do it."""
    there = hands.repository.checkout()
    said = CheckoutSeen(attempt=command.attempt, head=there.head, branch=there.branch, state=there.state)
    return [Said(command.issue, said, command.cause)]


def compare(before: CheckoutSeen, agent: str, base: str, secured: Secured, hands: Hands) -> LeakDetected | None:
    """What to say of the checkout, now that the agent has ended; nothing if all is well."""
    there = hands.repository.checkout()
    if (there.head, there.branch, there.state) == (before.head, before.branch, before.state):
        return None
    found = hands.repository.traces(before.head, base, secured.commit, hands.author(agent))
    what = _changes(before, there, found)
    if not what:
        return None
    files = there.files if there.state != before.state else []
    evidence = _evidence(before, there, found, agent)
    return LeakDetected(attempt=before.attempt, what="; ".join(what), evidence=evidence, files=files)


def _changes(before: CheckoutSeen, there: Checkout, found: Traces) -> list[str]:
    """In words, what is not as it was and no landing's doing."""
    what = []
    if there.branch != before.branch:
        what.append(f"the checkout went from {before.branch or 'no branch'} to {there.branch or 'no branch'}")
    else:
        where = there.branch or "its HEAD"
        what += [f"{where} does not have {before.head[:10]} any more"] if found.back else []
        what += [f"{where} got {_listed([commit[:10] for commit in found.commits])}"] if found.commits else []
    if there.state != before.state:
        what.append(f"files changed: {_listed(there.files)}" if there.files else "changed files are gone")
    return what


def _evidence(before: CheckoutSeen, there: Checkout, found: Traces, agent: str) -> str:
    """Why it was the agent; empty if it may have been a person."""
    why = []
    if found.own and there.branch == before.branch:
        why.append(f"{agent} made {_listed([commit[:10] for commit in found.own])}")
    if found.files and there.state != before.state:
        why.append(f"{_listed(found.files)} as in its work")
    return "; ".join(why)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
