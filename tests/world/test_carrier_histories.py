"""Promise P4, on real git: whatever people do to the log branch with plain git (merges, cherry-picks, rebases, forced
pushes, a hosting site's merge button), all clones come to the same state, and no event is lost.
"""

import os
import subprocess
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import IssueClosed, IssueHeld, IssueOpened, IssueReopened, IssueTaken, MailAcked, MailSent

from clones import REF, Clone, Hub, plain
from history import snapshot
from soak import amount

HISTORIES = amount(ci=3, full=50)
STEPS = 14
WHO = {"NAME": "Pat", "EMAIL": "pat@example.org"}
PERSON = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()}


class World:
    """Four clones, and what people do to them. `written`: the ids of all events that anybody appended."""

    def __init__(self, folder: Path, seed: int, honoured: bool) -> None:
        self.honoured = honoured
        self.random = Random(seed)
        self.hub = Hub(folder)
        self.clones = [self.hub.clone(f"c{number}") for number in range(4)]
        self.written: list[str] = []
        self.conflicts = 0

    def git(self, *args: str, at: Path) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **PERSON, "GIT_EDITOR": "true", "GIT_MERGE_AUTOEDIT": "no"}
        return subprocess.run(["git", *args], cwd=at, capture_output=True, text=True, env=env)

    def write(self, clone: Clone) -> None:
        """Its people and actors go on."""
        for _ in range(self.random.randint(1, 4)):
            issue = f"sw-{self.random.randrange(6)}"
            generation = self.random.choice([*self.written[:9], "x"])
            facts = (
                IssueOpened(title="t", body="x" * self.random.randrange(300)),
                IssueClosed(generation),
                IssueHeld(generation, "stuck"),
                IssueTaken(generation, "pat"),
                IssueReopened(),
                MailSent(to=["human", "agent-kim"], body="hello"),
                MailAcked(letter=generation, reader="human"),
            )
            self.written += [event.id for event in clone.say(self.random.choice(facts), about=issue)]
        if self.random.random() < 0.2:
            clone.log.seal(1)

    def sync(self, clone: Clone) -> None:
        clone.carrier.sync()

    def commit(self, clone: Clone) -> None:
        """A sync while the remote is out of reach: its branch goes a way of its own."""
        away = self.hub.bare.with_name("away")
        self.hub.bare.rename(away)
        try:
            with pytest.raises(SwarmError, match="cannot reach"):
                clone.carrier.sync()
        finally:
            away.rename(self.hub.bare)

    def restore(self, clone: Clone) -> None:
        """A backup of its files is restored, older than what the remote has; the branch in it is gone. It goes on, and
        a person merges what came of that.
        """
        for one in (clone, self.other(clone)):  # somebody has what this one loses, whatever becomes of the remote
            one.carrier.sync()
        growing = clone.folder / f"{clone.node}.jsonl"
        lines = growing.read_bytes().splitlines(keepends=True) if growing.exists() else []
        growing.write_bytes(b"".join(lines[: self.random.randint(0, len(lines))]))
        for ref in (REF, "refs/swarm/remote/origin/log"):
            clone.git("update-ref", "-d", ref)
        Path(clone.place.home, "cache", "carried.json").unlink()
        self.write(clone)
        self.commit(clone)
        (self.merge if self.honoured else self.button)(clone)

    def by_hand(self, clone: Clone, *how: str) -> None:
        """A person brings another clone's branch into this one's, in a worktree of it."""
        other = self.other(clone)
        look = self.hub.folder / f"look-{clone.root.name}"
        if not self.has(clone) or self.git("fetch", "--quiet", str(other.root), REF, at=clone.root).returncode:
            return
        clone.git("worktree", "add", "--quiet", "--detach", str(look), REF)
        done = self.git(*how, "FETCH_HEAD", at=look)
        while done.returncode and "CONFLICT" in done.stdout:
            self.conflicts += 1
            self.git("add", "-A", at=look)
            done = self.git("commit", "--no-edit", "--allow-empty", "--quiet", at=look)
            if how[0] == "rebase":
                done = self.git("rebase", "--continue", at=look)
        clone.git("update-ref", REF, clone.git("rev-parse", "HEAD", at=look))
        clone.git("worktree", "remove", "--force", str(look))

    def merge(self, clone: Clone) -> None:
        self.by_hand(clone, "merge", "--quiet", "--allow-unrelated-histories")

    def pick(self, clone: Clone) -> None:
        self.by_hand(clone, "cherry-pick", "--allow-empty", "--keep-redundant-commits", "-m1")
        self.by_hand(clone, "cherry-pick", "--allow-empty", "--keep-redundant-commits")

    def rebase(self, clone: Clone) -> None:
        self.by_hand(clone, "rebase", "--quiet")

    def force(self, clone: Clone) -> None:
        """What the others have pushed is gone from the remote."""
        if self.has(clone):
            clone.git("push", "--quiet", "--force", "origin", REF)

    def button(self, clone: Clone) -> None:
        """A hosting site merges in its bare repository, where no attributes hold; conflicts are committed as such."""
        if not self.has(clone) or not self.hub.tip():
            return
        clone.git("push", "--quiet", "--force", "origin", f"{REF}:refs/heads/proposed")
        tips = [REF, "refs/heads/proposed"]
        done = self.git("merge-tree", "--write-tree", "--allow-unrelated-histories", *tips, at=self.hub.bare)
        self.conflicts += done.returncode
        above = [word for tip in tips for word in ("-p", tip)]
        made = self.git("commit-tree", done.stdout.split()[0], *above, "-m", "Merge", at=self.hub.bare)
        plain("update-ref", REF, made.stdout.strip(), at=self.hub.bare)

    def other(self, clone: Clone) -> Clone:
        return self.random.choice([one for one in self.clones if one is not clone])

    def has(self, clone: Clone) -> bool:
        return not self.git("rev-parse", "--verify", "--quiet", REF, at=clone.root).returncode

    def settle(self) -> None:
        for _ in range(6):
            done = [clone.carrier.sync() for clone in self.clones]
            if not any(one.sent or one.received for one in done):
                return
        raise AssertionError("they do not come to rest")

    def check(self) -> None:
        boards = [clone.board() for clone in self.clones]
        assert all(snapshot(board) == snapshot(boards[0]) for board in boards)
        ids = [clone.ids() for clone in self.clones]
        assert all(each == ids[0] for each in ids)
        assert set(self.written) <= set(ids[0]), "an event was lost"
        assert {e.id for e in self.clones[0].events() if e.type != "event.refused"} == set(self.written)


@pytest.mark.parametrize("honoured", [True, False])
def test_all_clones_come_to_the_same_state_whatever_was_merged_how(tmp_path: Path, honoured: bool) -> None:
    conflicts = 0
    for seed in range(HISTORIES):
        (tmp_path / f"{seed}").mkdir()
        world = World(tmp_path / f"{seed}", seed, honoured)
        by_people = [world.merge, world.pick, world.rebase] if honoured else [world.button, world.button]
        with closing(world.hub):
            for _ in range(STEPS):
                clone = world.random.choice(world.clones)
                world.write(clone)
                world.random.choice([world.sync, world.commit, *by_people, world.force, world.restore])(clone)
            world.settle()
            world.check()
        conflicts += world.conflicts
    assert honoured or conflicts, "no merge left its marks: this proves nothing"
