"""All I/O except the log's own. This door holds only the hands' shapes, so that actors may name them without
importing git.

Every hand is idempotent and keyed: an actor may ask for the same thing twice (it crashed in between), and the second
time finds it done. Every hand has a double in `tests/doubles.py`, and both pass one suite.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """A process that cannot be confused with another: a pid alone is reused."""

    boot_id: str
    pid: int
    start_ticks: int


# --- git ------------------------------------------------------------------------------------------


class Secured(msgspec.Struct, frozen=True):
    """What the agent left, as a commit. `commits` above the base; `files` changed against the base, at most 200
    names. `left`: large ignored files that are not in it, with their sizes; `notes`: what else is not as it was left,
    in words.
    """

    ref: str
    commit: str
    commits: int
    files: list[str]
    left: list[str] = []
    notes: list[str] = []


class Merged(msgspec.Struct, frozen=True):
    """A merge commit in the object store that nothing points at yet."""

    commit: str
    tree: str


class Conflict(msgspec.Struct, frozen=True):
    """The paths that do not merge."""

    files: list[str]


class Landed(msgspec.Struct, frozen=True):
    """The target is at the commit (or had it already)."""

    commit: str


class Moved(msgspec.Struct, frozen=True):
    """The target is no longer at the tested base but at `found`: merge and test again."""

    found: str


class Refused(msgspec.Struct, frozen=True):
    """Git would not fast-forward the checkout that has the target; `command` is for the person."""

    reason: str
    command: str


class Branch(msgspec.Struct, frozen=True):
    """What is to land of one attempt: its `commit`, and what the message of its merge says. `event`: the id of the
    event that queued it.
    """

    issue: str
    agent: str
    title: str
    commit: str
    event: str = ""


class Stacked(msgspec.Struct, frozen=True):
    """Branches merged one after the other. `commit` has `tree`, and its first parent is the base; `commits` is what
    brought each branch (empty for one that conflicts), `conflicts` the paths that do not merge, by the branch's place.
    If all of them conflict, `commit` is the base. One that was in already is brought by what it is in: `commits` has
    the base, or the commit of the branch before.
    """

    commit: str
    tree: str
    commits: list[str]
    conflicts: dict[int, list[str]] = {}


class Reverted(msgspec.Struct, frozen=True):
    """What a commit that takes landings out says of itself: the `events` that said that they landed, and why they were
    taken out; `keep_closed`: their issues are not to be opened anew.
    """

    commit: str
    events: list[str]
    reason: str = ""
    keep_closed: bool = False


class Checkout(msgspec.Struct, frozen=True):
    """The person's checkout: the commit, the branch (empty: detached), and a digest of what is not as in the commit.
    `marks`: the names of such files, each with eight hex digits for its name and eight for what it is; there are so
    many `more`, whose names have greater digits.
    """

    head: str
    branch: str
    state: str
    marks: dict[str, str] = {}
    more: int = 0


class Traces(msgspec.Struct, frozen=True):
    """What came into the person's checkout: `commits` on the line of its branch that the swarm did not land, `own` of
    them those that a certain agent made, `files` that lie there as in a certain commit. `back`: its head does not have
    any more what it had.
    """

    commits: list[str]
    own: list[str]
    files: list[str]
    back: bool = False


class Repository(Protocol):
    """The one door to git. Raises GitError (a SwarmError) when git refuses for a reason not named in a return type."""

    def tip(self, branch: str) -> str:
        """The commit at `refs/heads/<branch>`; raises GitError if there is none."""

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether commit `newer` contains commit `older`."""

    def prepare(self, path: str, branch: str, base: str, work: str = "", resolve: bool = False) -> None:
        """A worktree at `path` (relative to the repository) on the new branch, cut from `base`. There already: fine.

        With `work`, the branch begins at that commit, which need not contain `base`; with `resolve`, at `base`, and
        the files are those of the merge of `work` into it, with git's marks where they conflict.
        """

    def furnish(self, path: str, copy: Sequence[str], link: Sequence[str]) -> list[str]:
        """Give the worktree copies of, and links to, these files and folders of the person's checkout, which git must
        ignore; again is harmless. Returns what could not be had, in words.

        Raises UsageError for what is not in the repository, what git has anyway, and what it does not ignore.
        """

    def secure(
        self,
        path: str,
        branch: str,
        base: str,
        ref: str,
        message: str,
        author: str,
        work: str = "",
        resolve: bool = False,
    ) -> Secured:
        """Commit all that is in the worktree, uncommitted or not, and point `ref` at it.

        `ref` is the branch itself (`refs/heads/…`) on success or `refs/swarm/wip/…` otherwise. Ignored files stay out.
        `work` and `resolve` as it was prepared. With `resolve` the commit has both `base` and `work` behind it, unless
        nothing was done: if the files are as they were prepared, or those of `base`, it is `base`, with no commits.
        Raises GitError if the branch would get a commit with git's marks in it.
        """

    def gate(self, path: str, commit: str, keep_ignored: bool = False) -> str:
        """Put the worktree at exactly `commit`, detached (made if it is missing or broken); returns its absolute path.

        Untracked files go. Ignored ones (`node_modules`) go too, unless `keep_ignored`: an attempt's gate keeps them.
        """

    def merge(self, base: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        """Merge `commit` into `base` in the object store. The same arguments give the same commit."""

    def stack(self, base: str, branches: Sequence[Branch], mode: str, author: str, when: float) -> Stacked:
        """Merge the branches into `base`, one after the other, in the object store. The same arguments give the same
        commits. `mode` is merge, squash or rebase. A branch that conflicts is left out.

        A branch that was in already adds nothing, nor, unless the mode is merge, one whose changes were. A branch whose
        commits cannot be replayed one by one (there are merges among them, or one conflicts) is rebased as one commit.
        With mode merge and several branches, `commit` is one merge of them all, with the chain of their own merges as
        its second parent: what is on the target's first-parent line was tested as it is.
        """

    def predict(self, base: str, commit: str) -> list[str]:
        """The paths that conflict if `commit` is merged into `base`; nothing is kept."""

    def revert(self, tip: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        """A commit on `tip` that takes out what `commit` brought against its first parent (`git revert -m 1`); of
        the last of several that one branch was rebased to, what all of them brought. `tip` itself if nothing changes.
        """

    def reverts(self, target: str, since: str) -> list[Reverted]:
        """What commits on the target's own (first-parent) line since that one say that they take out, oldest first."""

    def resolved(self, base: str, work: str, commit: str) -> list[str]:
        """The lines (`file: line`) that `base` or `work` added since they parted and that `commit` does not have."""

    def checkout(self) -> Checkout:
        """The person's checkout, as it is: not while a landing is about to change it."""

    def traces(self, since: str, base: str, commit: str, author: str) -> Traces:
        """What came into the person's checkout after its head was `since`: of that `author` ("Name <email>"), and files
        with what `commit` brought against `base`.
        """

    def keep(self, ref: str, commit: str) -> None:
        """Point `ref`, under refs/swarm/, at the commit."""

    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        """Move the target from `base` to `commit` by compare-and-swap, or by git's own fast-forward where checked
        out.
        """

    def remove(self, path: str, secured: str, recycle: bool = False) -> None:
        """Delete the worktree. Refuses (GitError) unless the commit `secured` exists. Gone already: fine.

        With `recycle` its folder may be kept aside, to be cleaned and used by a later `prepare`: never for one in which
        something may still run.
        """

    def delete_branch(self, branch: str, kept: str) -> bool:
        """Delete a branch of the swarm, if all that is on it is in `kept` too; True if it is gone."""

    def tidy(self) -> None:
        """Delete the folders that were kept aside."""


# --- sessions -------------------------------------------------------------------------------------


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a host process is told. It is written to `<run_dir>/spec.json`; the environment goes by inheritance, not
    by file.

    `runtime` names the reader of standard output; empty for gates. `log_dir` is where the host appends its events,
    with `correlationid` and `causationid`. `cap` bounds the raw log in bytes; `timeout` and `grace` are seconds.
    `memory` (bytes), `processes` and `output` (bytes) bound the program and all below it; 0: they do not.
    """

    session: str
    issue: str
    attempt: int
    kind: str
    argv: list[str]
    cwd: str
    run_dir: str
    log_dir: str
    runtime: str = ""
    stdin: str = ""
    terminal: bool = False
    cap: int = 50_000_000
    timeout: float = 3600.0
    grace: float = 5.0
    memory: int = 0
    processes: int = 0
    output: int = 0
    correlationid: str = ""
    causationid: str = ""


class Sessions(Protocol):
    """Outside programs, each under a host process of its own that outlives us and appends its own events."""

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        """Run it under a new host unless its run folder was claimed before; returns the host's pid (0: claimed
        before).
        """

    def running(self, session: str) -> bool:
        """Whether the host that took the run folder of this session is alive. Not taken yet: no."""

    def settle(self, session: str) -> bool:
        """If the session left an exit record whose event is not in the log, append it. True if a record was found."""

    def interrupt(self, session: str) -> None:
        """Ask the session's host to send its program what Ctrl-C sends. Not running: fine."""

    def kill(self, session: str) -> None:
        """Ask the session's host to end the program and all its children. Not running: fine."""


# --- other clones ---------------------------------------------------------------------------------


class Carrier(Protocol):
    """Carries the log to the other clones and back, and acquires leases: git's push decides who has one."""

    def share(self, wanted: Sequence[tuple[str, str]]) -> str:
        """Have this clone and the remote hold the same events, and hold a lease on each of these (issue, generation),
        prolonging it in time, as far as no other node does. What came of it stands in the log.

        Returns what is wrong (the remote cannot be reached), unless that was so the last time too.
        """

    def in_time(self, until: float) -> bool:
        """Whether that time (Unix seconds) is still to come: a lease that lasts until then is in force."""


# --- the LLM proxy --------------------------------------------------------------------------------


class Spend(msgspec.Struct, frozen=True):
    """What the proxy says one session has spent on one model so far."""

    session: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: float | None


class SpendLog(Protocol):
    """The proxy's account, one entry per session and model, totals since the beginning of its log."""

    def totals(self) -> list[Spend]:
        """All totals that changed since the last call."""


# --- the machine, and whom to tell ----------------------------------------------------------------


class Reading(msgspec.Struct, frozen=True):
    """What is free: bytes of disk where the worktrees are, bytes of memory; and the load of a core, of the last
    minute.
    """

    disk: int
    memory: int
    load: float


class Gauge(Protocol):
    """Looks at this machine."""

    def read(self) -> Reading:
        """What is free now."""

    def ports(self, taken: Sequence[int]) -> int:
        """The first of ten ports on which nobody listens, none of them in the tens that begin at `taken`; 0 if there
        are none.
        """


class Alerts(Protocol):
    """The ways to tell somebody outside. They may wait for a network, a few seconds at most."""

    def send(self, channel: str, kind: str, text: str, about: str) -> str:
        """Give the alert to that channel; returns why it was not taken, in words, or nothing."""
