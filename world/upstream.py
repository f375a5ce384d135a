"""The branch of a remote that the target follows: asked for before work is cut from it, so that nothing begins stale.

Rule: the target only moves forward, as a landing moves it. What cannot be had, or is not to be moved, is said, and is
no error: work begins from what is here.

refs/swarm/upstream/<target>    what we moved the target to: that is nobody's leak (traces.py)
"""

import shlex
import threading
from collections.abc import Callable

import msgspec

from ..eventlog.text import many
from . import Landed, Refused, landing
from .clock import monotonic
from .door import Door, GitError
from .logbranch import FETCH, told

PATIENCE = 20.0
"""Seconds that a remote may be silent: a person waits for the start."""
MOVED = "refs/swarm/upstream/"
_FORM = "--format=%(upstream:remotename)%00%(upstream:remoteref)%00%(upstream)"
_STALE = "work begins from what is here"


Says = list[tuple[str, str]]
"""Words, and the command for the person; empty where nothing is theirs to do."""


class Upstream(msgspec.Struct, frozen=True):
    """A branch at a remote (`refs/heads/…` there), and where git keeps what it knows of it (`refs/remotes/…`)."""

    remote: str
    branch: str
    tracking: str

    @property
    def name(self) -> str:
        """As people write it."""
        return self.tracking.removeprefix("refs/remotes/")


class Distance(msgspec.Struct, frozen=True):
    """How many commits the target lacks of its upstream, as far as that is known here, and how many it has besides."""

    upstream: Upstream
    behind: int
    ahead: int


def upstream(door: Door, target: str) -> Upstream | None:
    """What the branch follows; None if that is nothing, or a branch of this repository."""
    answer = door.pipe("for-each-ref", _FORM, f"refs/heads/{target}")
    found = answer.out.decode("utf-8", "surrogateescape").rstrip("\n").split("\0")
    if answer.code or len(found) != 3 or not all(found) or not found[2].startswith("refs/remotes/"):
        return None
    return Upstream(*found)


def distance(door: Door, target: str) -> Distance | None:
    """How far the two are apart; None where one of them is not there. Asks no network."""
    known = upstream(door, target)
    if known is None:
        return None
    answer = door.pipe("rev-list", "--left-right", "--count", f"refs/heads/{target}...{known.tracking}", "--")
    ahead, _, behind = answer.out.decode().partition("\t")
    return None if answer.code else Distance(known, int(behind), int(ahead))


def lacking(target: str, apart: Distance) -> tuple[str, str]:
    """That it is behind, in words, and the command that mends it."""
    name = apart.upstream.name
    words = f"{target} is {many(apart.behind, 'commit')} behind {name}"
    if not apart.ahead:
        return words, f"git switch {shlex.quote(target)} && git merge --ff-only {shlex.quote(name)}"
    here = f"{words}, and {many(apart.ahead, 'commit')} ahead of it"
    return here, f"git switch {shlex.quote(target)} && git merge {shlex.quote(name)}"


def follow(door: Door, target: str) -> Says:
    """Fetch the branch that the target follows, and fast-forward the target where it is only behind. Returns what there
    is to say.
    """
    known = upstream(door, target)
    if known is None:
        remotes = door.pipe("remote").out.strip()
        return [(f"{target} follows no branch of a remote: {_STALE}", "")] if remotes else []
    said = _fetch(door, target, known)
    apart = distance(door, target)
    if apart is None or not apart.behind:
        return said
    if apart.ahead:
        return [*said, lacking(target, apart)]
    try:
        return [*said, _forward(door, target, apart)]
    except GitError as error:
        return [*said, (str(error), error.hint)]


def _fetch(door: Door, target: str, known: Upstream) -> Says:
    """(Git has no terminal and no input here: it cannot ask for a password.)"""
    spec = f"+{known.branch}:{known.tracking}"
    answer = door.pipe("fetch", *FETCH, "--", known.remote, spec, env={"LC_ALL": "C"}, silence=PATIENCE)
    if answer.code == 0:
        return []
    why = told(answer) or f"exit {answer.code}"
    return [(f"cannot ask {known.remote} for {target}: {why}; {_STALE}", "")]


def _forward(door: Door, target: str, apart: Distance) -> tuple[str, str]:
    base, commit = door.commit(f"refs/heads/{target}"), door.commit(apart.upstream.tracking)
    behind, _ = lacking(target, apart)
    door.run("update-ref", f"{MOVED}{target}", commit)
    done = landing.land(door, target, base, commit)
    if isinstance(done, Landed):
        return f"{behind}: fast-forwarded to {commit[:10]}", ""
    why = done.reason if isinstance(done, Refused) else "somebody else moved it just now"
    return f"{behind}, and stays there: {why}", done.command if isinstance(done, Refused) else "swarm start"


class Follower:
    """Follows now and then: `follow(target)` (see `Git.follow`) is called by whoever asks first after `every` seconds
    (0: never), and others wait for it. `clock`: monotonic seconds.
    """

    def __init__(self, follow: Callable[[str], Says], every: float, clock: Callable[[], float] = monotonic) -> None:
        self._follow, self._every, self._clock = follow, every, clock
        self._lock, self._next = threading.Lock(), 0.0 if every else float("inf")

    def __call__(self, target: str) -> Says:
        """What there is to say; nothing where it is not time yet."""
        with self._lock:
            if self._clock() < self._next:
                return []
            said = self._follow(target)
            self._next = self._clock() + self._every
            return said
