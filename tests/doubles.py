"""Doubles of the hands: a repository and sessions in memory. Rule: what holds for the real ones holds for them, so both
pass `tests/world/test_contracts.py`; beyond that they only offer what agents, hosts and persons do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from swarm.actors.hands import Hands
from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import SessionExited, SessionStarted
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.segments import files, node_of_file, sealed_name
from swarm.world import Checkout, Landed, Moved, Reading, Refused, Reverted, Secured, SessionSpec, Traces, messages
from swarm.world.git import GitError
from swarm.world.leasing import Leasing, Wish

from memory import Commit, Files, Objects, marks

__all__ = ["ROOT", "Commit", "Files", "MemoryCarrier", "MemoryHub", "MemoryRepository", "ScriptedSessions", "hands"]
ROOT = "/repository"


class Worktree(msgspec.Struct):
    """A folder: the commit it was put at, the branch it has checked out (empty: none), and what lies in it now, that
    git ignores besides.
    """

    head: str
    branch: str
    files: Files
    ignored: Files = {}


class MemoryRepository(Objects):
    """Satisfies the Protocol `Repository`. `moves` are the targets' moves; `dirty` is what lies in the person's
    checkout, `leaked` what of that is an agent's, `ignored` what lies there that git ignores, `home` the branch that is
    checked out there.
    """

    def __init__(self, files: Mapping[str, str], branch: str = "main") -> None:
        super().__init__()
        self.home = branch
        self.refs: dict[str, str] = {}
        self.worktrees: dict[str, Worktree] = {}
        self.moves: list[str] = []
        self.dirty: set[str] = set()
        self.ignored: Files = {}
        self.leaked: set[str] = set()
        self.refs[f"refs/heads/{branch}"] = self._keep((), dict(files), "start")

    # --- what agents and persons do ---

    def write(self, path: str, files: Mapping[str, str]) -> None:
        """An agent writes into its worktree."""
        self.worktrees[path].files |= files

    def commit(self, branch: str, files: Mapping[str, str]) -> str:
        """Somebody commits on a branch."""
        ref = f"refs/heads/{branch}"
        tip = self.refs[ref]
        self.refs[ref] = self._keep((tip,), self.commits[tip].files | files, "change")
        return self.refs[ref]

    # --- questions ---

    def tip(self, branch: str) -> str:
        found = self.refs.get(f"refs/heads/{branch}", "")
        if not found:
            raise GitError(f"there is no branch {branch}")
        return found

    def checkout(self) -> Checkout:
        return Checkout(self.tip(self.home), self.home, "\0".join(sorted(self.dirty)), marks(self.dirty))

    def traces(self, since: str, base: str, commit: str, author: str) -> Traces:
        tip = self.tip(self.home)
        line = self._line(tip, since)
        foreign = [each for each in line if each not in self.moves]
        own = [each for each in foreign if author in self.commits[each].message]
        return Traces(foreign, own, sorted(self.leaked), not self.contains(tip, since))

    def reverts(self, target: str, since: str) -> list[Reverted]:
        line = reversed(self._line(self.tip(target), since))
        return [one for each in line if (one := messages.reverted(each, self.commits[each].message))]

    # --- deeds ---

    def keep(self, ref: str, commit: str) -> None:
        if not ref.startswith("refs/swarm/"):
            raise GitError(f"work is kept under refs/swarm/, not at {ref}")
        self.files(commit)
        self.refs[ref] = commit

    def prepare(self, path: str, branch: str, base: str, work: str = "", resolve: bool = False) -> None:
        ref, start = f"refs/heads/{branch}", base if resolve else work or base
        there = self.worktrees.get(path)
        tip = self.refs.get(ref, "")
        if not tip or (tip != start and self.contains(start, tip)):
            self.refs[ref], there = start, None
        elif not self.contains(tip, start):
            raise GitError(f"the branch {branch} is there already")
        if there is None:
            self.worktrees[path] = Worktree(self.refs[ref], ref, self._laid_out(self.refs[ref], work, resolve))

    def _laid_out(self, tip: str, work: str, resolve: bool) -> Files:
        return dict(self._merged(tip, work)[0] if resolve else self.files(tip))

    def furnish(self, path: str, copy: Sequence[str], link: Sequence[str]) -> list[str]:
        there = self.worktrees[path]
        for name in (*copy, *link):
            if name in there.files:
                raise UsageError(f"{name} is in git")
            if name in self.dirty:
                raise UsageError(f"{name} would be committed: git does not ignore it")
        there.ignored |= {name: self.ignored[name] for name in (*copy, *link) if name in self.ignored}
        return [f"there is no {name}" for name in (*copy, *link) if name not in self.ignored]

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
        there, start = self.worktrees.get(path), base if resolve else work or base
        tip = self.refs.get(f"refs/heads/{branch}", "")
        commit = tip if tip and self.contains(tip, start) else start
        files = dict(there.files) if there else self.files(commit)
        if resolve and not self.contains(commit, work):
            marked = sorted(name for name, text in files.items() if "<<<<<<< ours\n" in text)
            if files not in (self._laid_out(base, work, resolve), self.files(base)):
                if marked and ref == f"refs/heads/{branch}":
                    raise GitError(f"conflict marks are left in {', '.join(marked)}")
                commit = self._keep((commit, work), files, message, author)
        elif files != self.files(commit):
            commit = self._keep((commit,), files, message, author)
        self.refs[ref] = commit
        count = len(self._history(commit) - self._history(base))
        return Secured(ref, commit, count, self._changed(self._fork(base, commit), commit))

    def gate(self, path: str, commit: str, keep_ignored: bool = False) -> str:
        if commit not in self.commits:
            raise GitError(f"there is no commit {commit}")
        self.worktrees[path] = Worktree(commit, "", dict(self.commits[commit].files))
        return f"{ROOT}/{path}"

    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        tip = self.tip(target)
        if self.contains(tip, commit):
            return Landed(commit)
        if tip != base:
            return Moved(tip)
        if not self.contains(commit, base):
            raise GitError(f"{commit} does not contain {base}")
        if self.dirty.intersection(self._changed(base, commit)):
            return Refused("local changes are in the way", "git stash")
        self.refs[f"refs/heads/{target}"] = commit
        self.moves.append(commit)
        return Landed(commit)

    def remove(self, path: str, secured: str, recycle: bool = False) -> None:
        if secured not in self.commits:
            raise GitError(f"the worktree {path} stays: there is no commit {secured}")
        self.worktrees.pop(path, None)

    def delete_branch(self, branch: str, kept: str) -> bool:
        tip = self.refs.get(f"refs/heads/{branch}", "")
        if tip and not self.contains(kept, tip):
            return False
        self.refs.pop(f"refs/heads/{branch}", None)
        return True

    def tidy(self) -> None:
        """There is nothing to tidy."""


class ScriptedSessions:
    """Satisfies the Protocol `Sessions`. A session begins when started, unless `slow`, and ends when a test says so, or
    when it is interrupted, unless it is `deaf`.
    """

    def __init__(self, log: Log, slow: bool = False) -> None:
        self.specs: dict[str, SessionSpec] = {}
        self.begun: list[str] = []
        self.interrupted: list[str] = []
        self.deaf: set[str] = set()
        self.slow = slow
        self._log = log
        self._claimed: set[str] = set()
        self._alive: set[str] = set()
        self._records: dict[str, SessionExited] = {}
        self._recorded: set[str] = set()

    # --- what hosts and programs do ---

    def open(self) -> list[str]:
        """The sessions whose programs run, sorted."""
        return sorted(self._alive)

    def pending(self) -> list[str]:
        """The sessions that were asked for and that no host has taken yet, sorted."""
        return sorted(self.specs.keys() - self._claimed)

    def begin(self, session: str) -> None:
        """A host comes up, takes the folder if nobody has, and starts the program."""
        if session in self._claimed:
            return
        self._claimed.add(session)
        self._alive.add(session)
        self.begun.append(session)
        spec = self.specs[session]
        self._say(session, SessionStarted(session, spec.attempt, spec.kind, "boot", 8, 1, 7, 1))

    def end(self, session: str, code: int = 0, recorded: bool = True, **words: str) -> None:
        """The program ends, and its host says so, unless the log refused it: then only the record is left."""
        self._alive.remove(session)
        spec = self.specs[session]
        ok = code == 0 and not words.get("ended_by")
        fact = SessionExited(session, spec.attempt, code, ok=ok, seconds=1.0, **words)
        self._records[session] = fact
        if recorded:
            self._recorded.add(session)
            self._say(session, fact)

    def die(self, session: str) -> None:
        """The host is killed, and its program with it: no record, no event."""
        self._claimed.add(session)
        self._alive.discard(session)

    # --- the Protocol ---

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        if spec.session in self._claimed:
            return 0
        self.specs[spec.session] = spec
        if not self.slow:
            self.begin(spec.session)
        return 7

    def running(self, session: str) -> bool:
        return session in self._alive

    def settle(self, session: str) -> bool:
        record = self._records.get(session)
        if record and session not in self._recorded:
            self._recorded.add(session)
            self._say(session, record)
        return record is not None

    def interrupt(self, session: str) -> None:
        if session in self._alive:
            self.interrupted.append(session)
            if session not in self.deaf:
                self.end(session, -2, why="killed by signal 2 (SIGINT)")

    def kill(self, session: str) -> None:
        if session in self._alive:
            self.end(session, -15, ended_by="killed", why="it was ended on request")
        elif session in self.specs and session not in self._claimed:
            self._claimed.add(session)
            attempt, why = self.specs[session].attempt, "it was ended before it began"
            self._records[session] = SessionExited(session, attempt, -15, False, 0.0, why=why, ended_by="killed")

    def _say(self, session: str, fact: SessionStarted | SessionExited) -> None:
        spec = self.specs[session]
        self._log.append([Draft(fact, f"session/{session}", spec.issue, spec.causationid, spec.correlationid)])


class MemoryHub:
    """What all clones can reach, unless it is `away`: author -> id -> line."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.away = False


class MemoryCarrier:
    """Satisfies the Protocol `Carrier`, for the node whose log is in `folder`; only the way there is in memory."""

    def __init__(
        self,
        folder: str,
        node: str,
        hub: MemoryHub,
        seconds: float,
        now: Callable[[], float],
        entropy: Callable[[], int],
    ) -> None:
        self.hub = hub
        self.away = False
        self._folder, self._now = Path(folder), now
        self._leasing = Leasing(folder, node, seconds, now, entropy, "run-1")
        self._told = ""

    def share(self, wanted: Sequence[Wish]) -> str:
        before, self._told = self._told, "the hub is away" if self.away or self.hub.away else ""
        if self._told:
            return self._told if self._told != before else ""
        self._exchange()
        mine = self.hub.files.setdefault(self._leasing.author, {})
        ends = [b"".join(lines.values()) for lines in self.hub.files.values()]
        mine |= dict(self._leasing.lines(wanted, ends, b"".join(mine.values())))
        self._exchange()
        return ""

    def in_time(self, until: float) -> bool:
        return self._now() < until

    def _exchange(self) -> None:
        for author, lines in self._here().items():
            known = self.hub.files.setdefault(author, {})
            known |= lines
            self.hub.files[author] = dict(sorted(known.items()))
        here = self._here()
        for author, lines in self.hub.files.items():
            if lines and lines.keys() - here.get(author, {}).keys():
                draft, name = self._folder / ".draft", sealed_name(author, min(lines))
                draft.write_bytes(b"".join(lines.values()))
                draft.rename(self._folder / name)

    def _here(self) -> dict[str, dict[str, bytes]]:
        found: dict[str, dict[str, bytes]] = {}
        for name in files(path.name for path in self._folder.iterdir()):
            for line in (self._folder / name).read_bytes().splitlines(keepends=True):
                begin = line.index(b'"id":"') + 6
                found.setdefault(node_of_file(name), {})[line[begin : begin + 36].decode()] = line
        return found


ROOMY = Reading(disk=10**12, memory=10**12, load=0.0)


class MemoryGauge:
    """Satisfies the Protocol `Gauge`: a machine on which `reading` is free, and where `listening` are taken."""

    def __init__(self, reading: Reading = ROOMY, listening: Iterable[int] = ()) -> None:
        self.reading = reading
        self.listening = set(listening)
        self.given: set[int] = set()

    def read(self) -> Reading:
        return self.reading

    def ports(self, taken: Sequence[int]) -> int:
        for block in range(20_000, 20_100, 10):
            if block not in taken and not self.given & {block} and not self.listening & set(range(block, block + 10)):
                self.given.add(block)
                return block
        return 0


class MemoryAlerts:
    """Satisfies the Protocol `Alerts`. `taken`: (channel, kind, text, about); what is `away` takes nothing."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.away: set[str] = set()
        self.taken: list[tuple[str, str, str, str]] = []

    def send(self, channel: str, kind: str, text: str, about: str) -> str:
        if channel not in self.names:
            return f"there is no channel {channel}"
        if channel in self.away:
            return f"{channel} is away"
        self.taken.append((channel, kind, text, about))
        return ""


def hands(
    repository: MemoryRepository,
    sessions: ScriptedSessions,
    log_dir: str,
    written: Files | None = None,
    carrier: MemoryCarrier | None = None,
    gauge: MemoryGauge | None = None,
    alerts: MemoryAlerts | None = None,
) -> Hands:
    """What actors act with, all in memory; `written` takes the private files."""
    kept = {} if written is None else written
    return Hands(
        root=ROOT,
        runs="/runs",
        log=log_dir,
        run="run-1",
        repository=repository,
        sessions=sessions,
        environment=dict,
        write=kept.__setitem__,
        author=lambda agent: f"{agent} <{agent}@swarm.invalid>",
        carrier=carrier,
        gauge=gauge,
        alerts=alerts,
    )
