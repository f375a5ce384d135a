"""The line of open batches: what stands in it no longer, what is to join it, and the next step of each.

Rule: pure. Only what stands on the target itself may land, be called red, or be parted, and only the head of the line
lands; what was built on one that failed is built anew. Changes of the line come before steps: who acts, acts on a line
that stands.

Where batches are tested side by side, each is on top of the one before while all goes well: all may land as they are.
Once something failed, what was on top of it tells nothing. So then what is new and what is suspect is tested beside the
line, each batch on the target alone. Who passes there lands, or, when another landed first, is known to be good, and
lands with all others that are; who fails is tested in parts. The head is never one that is overtaken by others: so
something always comes to land, however many are being tested.
"""

from collections.abc import Iterator

from ..eventlog.events import (
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    LandingHeld,
    MergeLanded,
    MergePredicted,
    MergeQueued,
    MergeRejected,
    RunStarted,
)
from ..eventlog.ids import time_of
from ..projections import Board, agents, batches, happened, issues, merges, runs
from ..world import Branch
from . import gates, queue, records, stacks, validation
from .command import Command, Decide
from .landing import Find, JudgeControl, JudgeTest, Land, Landing, Predict, Stack
from .validation import Start

PREDICTED = 4
"""So many merges are predicted in one round."""


class Line:
    """One look at it: `waiting` are our attempts that have not landed nor ended, `line` the open batches, without those
    that only a person's checkout keeps from landing (`aside`): what is to be tested anew, since the settings changed,
    is none of those. `head` is the one of the line that is to land next.
    """

    def __init__(self, board: Board, settings: RunStarted, now: float) -> None:
        self.board, self.settings, self.now = board, settings, now
        self.state, self.known = board[batches.State], board[merges.State].all
        self.seen, self.tip = self.state.tip()
        self.run = board[runs.State].current
        self.waiting = queue.attempts(board)
        self.open = self.state.open()
        self.outlooks = {one.id: stacks.outlook(board, settings, one) for one in self.open if one.stacked}
        self.aside = [one for one in self.open if self._is_aside(one)]
        self.line = [one for one in self.open if one not in self.aside]
        self.wide, self.known_of = settings.merge.parallel > 1, records.known(board, settings)
        self.head = self._head()

    # --- what no longer stands ---

    def changes(self) -> Iterator[Decide]:
        """Batches that end, or are parted; a branch that is rejected; the batch that is formed next."""
        found = [*self._hold(), *(change for batch in self.open for change in self._change(batch))]
        yield from found or self._form()

    def _hold(self) -> Iterator[Decide]:
        """A command cannot judge, and not because of what it is to judge: for a person to mend."""
        said = stacks.nobodys(self.board)
        if said and self.run and not self.run.held:
            batch = self.state.all[said.subject]
            issue = batch.formed.members[0][0] if batch.formed and batch.formed.members else ""
            yield Decide(self.run.id, gates.hold(issue, said.data.command, gates.recorded(said.data)), said.id)

    def _change(self, batch: batches.Batch) -> Iterator[Decide]:
        if self._is_unsaid(batch):
            return
        over = self._over(batch)
        if over:
            yield Decide(batch.id, *over)
        elif batch.stacked and self._is_first(batch) and not self._landed(batch):
            look = self.outlooks[batch.id]
            if look.word == stacks.RED and look.why:
                test = look.why.data
                name = f" {look.gate.name}" if look.gate and look.gate.name != "test" else ""
                why = f"merged, the tests{name} fail (exit code {test.code})"
                why = f"merged, {gates.blamed(test.why)}" if test.verdict == gates.BROKEN else why
                yield from self._part(batch, why, True, look.why.id) or self._reject(batch, why, test, look.why.id)
            elif look.word == stacks.GREEN and self._held(batch):
                yield from self._part(batch, "git would not let all of it land at once", False, self._cause(batch))

    def _over(self, batch: batches.Batch) -> tuple[BatchDissolved, str] | None:
        """Why nothing more comes of it, and the event that made it so; None if something may."""
        stacked, left = batch.stacked, [member for member in batch.members if member in self.waiting]
        landed = self._landed(batch)
        if landed and stacked:
            said = BatchDissolved("landed", stacked.commit)
            return (said, max(happened(merge.latest, MergeLanded) for merge in landed)) if not left else None
        cause = self._cause(batch)
        gone = [member for member in batch.members if member not in left]
        if gone:
            latest = [self.known[member].latest for member in gone if member in self.known]
            ends = [event for each in latest for kind, event in each.items() if kind in agents.ENDS]
            rejected = any(isinstance(event.data, MergeRejected) for event in ends)
            reason = f"{gone[0][0]} {'was rejected' if rejected else 'is not to land any more'}"
            return BatchDissolved(reason, failed=rejected), max((event.id for event in ends), default=cause)
        for issue, attempt in left:
            if not queue.may_land(self.board, self.settings, self.waiting[issue, attempt], self.now)[0]:
                return BatchDissolved(f"{issue} may not land now"), cause
        if below := self._below(batch):
            return below
        if stacked and self._is_first(batch):
            if not left:
                return BatchDissolved("nothing of it merges"), cause
            if not self._stands(batch) and not self._tells(batch):
                return BatchDissolved("the target moved"), self.seen
        return None

    def _below(self, batch: batches.Batch) -> tuple[BatchDissolved, str] | None:
        """Why it is not to stand on the batch that it is on top of; None if it may, or is on none."""
        if batch.formed is None or not batch.formed.after:
            return None
        name, before = batch.formed.after, self.state.all.get(batch.formed.after)
        if not (before and (before.open or before.landed)):
            ended = happened(before.latest, BatchDissolved) if before else self._cause(batch)
            return BatchDissolved(f"{name} did not land"), ended
        if before in self.aside:
            return BatchDissolved(f"git would not let {name} land yet"), self._cause(batch)
        look = self.outlooks.get(name)
        if self.wide and look and look.failed:
            return BatchDissolved(f"{name} failed: it is tested without it"), self._cause(before)
        return None

    def _part(self, batch: batches.Batch, why: str, failed: bool, cause: str) -> list[Decide]:
        """The parts of several, and the end of the whole. (Side by side, what failed is parted as room is found.)"""
        if len(batch.members) < 2:
            return []
        if failed and self.wide:
            return [Decide(batch.id, BatchDissolved(f"{why}: it is tested in parts", failed=True), cause)]
        found = [
            Decide(name, formed, cause)
            for name, formed in queue.parts(self.board, batch, self.settings.merge.parallel)
            if name not in self.state.all
        ]
        return [*found, Decide(batch.id, BatchDissolved(f"{why}: its parts are tested", failed=failed), cause)]

    @staticmethod
    def _reject(batch: batches.Batch, why: str, test: BatchTested, cause: str) -> list[Decide]:
        """The one that is left: everything before it is good."""
        return [
            Decide(issue, MergeRejected(attempt=attempt, reason=why, output=test.output, batch=batch.id), cause)
            for issue, attempt in batch.members
        ]

    def _form(self) -> Iterator[Decide]:
        """The next batch, where the last of the line may be built upon, or beside it."""
        last, free = self._last(), self.settings.merge.parallel - len(self.line)
        if self._stopped() or free < 1:
            return
        ready = last is None or last.stacked is not None
        after = last.id if last and self._bears(last) else ""
        room = queue.Room(after, self._slot(), free, self.wide and self._careful(), ready)
        found = queue.next_batch(self.board, self.settings, self.now, room, self.known_of)
        if found:
            yield Decide(*found)

    def _last(self) -> batches.Batch | None:
        """The last of those on top of the head, each on the one before. (On a part of what failed side by side, nothing
        is to be built.)
        """
        last = None if self.wide and self.head and self.head.formed and self.head.formed.of else self.head
        for one in self.line:
            if last and one.formed and one.formed.after == last.id:
                last = one
        return last

    def _careful(self) -> bool:
        """Whether something failed, and not enough landed since."""
        most = self.settings.merge.batch_max
        return any(look.failed for look in self.outlooks.values()) or queue.size(self.state.recent(), most) < most

    def _bears(self, batch: batches.Batch) -> bool:
        look = self.outlooks.get(batch.id)
        return bool(look and batch.members and not look.control and not self._failed(batch))

    # --- what is to be done ---

    def steps(self) -> list[Command]:
        """What tests have said is told. Unless the queue is held: the next step of each batch, and predictions."""
        found: list[Command] = []
        taken = stacks.busy_slots(self.board)
        found += self._validate(taken)
        for place, batch in enumerate(self.line):
            look = self.outlooks.get(batch.id)
            if self._is_unsaid(batch):
                found += self._find(batch)
            elif look is None:
                found += [] if self._stopped() else self._stack(batch)
            elif look.word == stacks.UNKNOWN and batch.members and (self._bears(batch) or self._is_first(batch)):
                may = place < self.settings.merge.parallel and self._slot_of(batch) not in taken
                found += self._test(batch, look, may and not self._idle())
            if look and look.word == stacks.UNKNOWN:
                taken.add(self._slot_of(batch))
        if not self._stopped():
            found += [] if validation.pending(self.board) else self._land()
            found += self._predict()
        return found

    def _validate(self, taken: set[int]) -> Iterator[Command]:
        """Of what landed last: it comes before other tests, for the next landing waits for it."""
        slot = self._slot_of(self.state.last_landed())
        step = validation.due(self.board, slot not in taken and not self._idle())
        if isinstance(step, Start):
            taken.add(slot)
        if step and (not self._stopped() or isinstance(step, validation.JudgeValidation)):
            yield step

    def _stack(self, batch: batches.Batch) -> Iterator[Stack]:
        before = None if self._is_first(batch) else self.state.all[batch.formed.after] if batch.formed else None
        if before and before.stacked is None:
            return
        policy, cause = self.settings.merge, happened(batch.latest, BatchFormed)
        yield Stack(
            batch.id,
            tuple(batch.members),
            tuple(self._branch(member) for member in batch.members),
            self.settings.target,
            before.stacked.commit if before and before.stacked else "",
            policy.mode,
            time_of(cause),
            policy.on_conflict == "stop",
            cause,
        )

    def _branch(self, member: batches.Member) -> Branch:
        merge, issue = self.known[member], self.board[issues.State].all.get(member[0])
        title = issue.opened.title if issue and issue.opened else member[0]
        commit = merge.queued.commit if merge.queued else ""
        return Branch(member[0], self.waiting[member].agent, title, commit, happened(merge.latest, MergeQueued))

    def _test(self, batch: batches.Batch, look: stacks.Outlook, may_start: bool) -> Iterator[Command]:
        gate, cause = look.gate, happened(batch.latest, BatchStacked)
        if batch.stacked is None or batch.formed is None:
            return
        stacked = stacks.Tree(batch.stacked.base, batch.stacked.commit, batch.stacked.tree)
        if gate is None:
            yield JudgeTest(batch.id, stacked, "", "", 1, gates.Verdict(gates.NONE), False, cause)
            return
        first = batch.members[0]
        judged = [event.causationid for event in batch.verdicts.values()]
        stem = f"{batch.id}--{gate.name}" if look.control else f"{batch.id}-{gate.name}"  # no gate's name begins so
        turn = stacks.turn(self.waiting[first], stem, gate.command, judged)
        if turn.said and look.control:
            yield JudgeControl(batch.id, stacked.base, gate.name, gate.command, turn.said, turn.cause)
        elif turn.said:
            yield JudgeTest(batch.id, stacked, gate.name, gate.command, look.run, turn.said, look.failed, turn.cause)
        elif turn.start and may_start:
            slot = batch.formed.slot
            ports = validation.taken_ports(self.board, self.settings)
            tree = stacks.Tree(stacked.base, stacked.base, "") if look.control else stacked
            where = (batch.id, turn.session, *first, tree, slot, gate, look.run, False)
            yield Start(*where, self._cause(batch), ports, look.control)

    def _land(self) -> Iterator[Land]:
        ready = [*self.aside, *([self.head] if self.head else [])]
        told = [held for member in self.waiting if (held := self.known[member].held) and not held.others]
        known = frozenset(held.reason for held in told)
        for batch in ready:
            look = self.outlooks.get(batch.id)
            if batch.stacked and look and look.word == stacks.GREEN and not self._is_unsaid(batch):
                members = tuple(self._share(batch, member) for member in batch.members if member in self.waiting)
                stacked = batch.stacked
                where = (batch.id, self.settings.target, stacked.base, stacked.commit)
                yield Land(*where, members, self._cause(batch), known)

    def _find(self, batch: batches.Batch) -> Iterator[Find]:
        if stacked := batch.stacked:
            members = tuple(self._share(batch, member) for member in batch.members if member in self.waiting)
            yield Find(batch.id, stacked.target, stacked.base, stacked.commit, members, self._cause(batch))

    def _share(self, batch: batches.Batch, member: batches.Member) -> Landing:
        _, lease, until = queue.may_land(self.board, self.settings, self.waiting[member], self.now)
        held = self._held(batch)
        return Landing(*member, batch.owns[member], lease, until, held.reason if held else "")

    def _predict(self) -> Iterator[Predict]:
        """What waits is merged for a look, once it is queued and whenever the target has moved."""
        stale = [entry for entry in queue.entries(self.board, self.settings, self.now) if self._unknown(entry)]
        for entry in stale[:PREDICTED]:
            yield Predict(entry.issue, entry.attempt, entry.commit, self.settings.target, max(entry.queued, self.seen))

    def _unknown(self, entry: queue.Entry) -> bool:
        """Whether the target has moved since in a way that may matter: what we landed in other files does not."""
        merge = self.known[entry.member]
        known, then = merge.predicted, happened(merge.latest, MergePredicted)
        if known is None or self.seen < then or known.base == self.tip:
            return known is None
        base = known.base
        for batch in self.state.recent():
            if batch.landed and batch.stacked and batch.stacked.base == base and self._is_apart(entry, batch):
                base = batch.stacked.commit
        return base != self.tip

    def _is_apart(self, entry: queue.Entry, batch: batches.Batch) -> bool:
        attempts = self.board[agents.State].attempts
        landed = [queue.touched(attempts[member]) if member in attempts else None for member in batch.members]
        return entry.files is not None and all(files is not None and entry.files.isdisjoint(files) for files in landed)

    # --- questions ---

    def _is_first(self, batch: batches.Batch) -> bool:
        """Whether nothing has to land before it."""
        before = self.state.all.get(batch.formed.after) if batch.formed and batch.formed.after else None
        return bool(batch.formed and (not batch.formed.after or (before and before.landed)))

    def _is_aside(self, batch: batches.Batch) -> bool:
        """Whether nothing is missing but the person."""
        look = self.outlooks.get(batch.id)
        green = look is not None and look.word == stacks.GREEN
        return green and len(batch.members) == 1 and self._held(batch) is not None and self._is_first(batch)

    def _is_unsaid(self, batch: batches.Batch) -> bool:
        """Whether it may be in the target though that was never said, and landing it again would not tell."""
        if batch.stacked is None or not self._is_first(batch) or not self.waiting.keys() & {*batch.members}:
            return False
        lands = self.outlooks[batch.id].word == stacks.GREEN and batch.stacked.target == self.settings.target
        return not lands and stacks.was_green(self.board, batch)

    def _head(self) -> batches.Batch | None:
        """Of those on the target's tip that have not failed: the oldest that is known to be good, or else the oldest.
        The others wait for its verdict even where they passed, for it would be stacked and tested anew.
        """
        found = [one for one in self.line if self._is_first(one) and self._stands(one) and not self._failed(one)]
        good = (one for one in found if one.members and all(map(self._is_good, one.members)))
        return next(good, found[0] if found else None)

    def _failed(self, batch: batches.Batch) -> bool:
        look = self.outlooks.get(batch.id)
        return bool(look and (look.failed or look.word == stacks.RED))

    def _is_good(self, member: batches.Member) -> bool:
        return self.known_of.get(member, records.NEW).good

    def _stands(self, batch: batches.Batch) -> bool:
        """Whether the target is, as far as is known, where it was when the batch was stacked on it."""
        return not batch.stacked or batch.stacked.base == self.tip or self.seen <= happened(batch.latest, BatchStacked)

    def _tells(self, batch: batches.Batch) -> bool:
        """Whether its test, though another of ours landed meanwhile, is still to say if it is good."""
        if not self.wide or self.outlooks[batch.id].word == stacks.GREEN:
            return False
        if any(one.formed and one.formed.after == batch.id for one in self.open):
            return False
        return any(one.landed and one.stacked and one.stacked.commit == self.tip for one in self.state.recent())

    def _landed(self, batch: batches.Batch) -> list[merges.Merge]:
        found = [self.known[member] for member in batch.members if member in self.known]
        return [merge for merge in found if merge.landed and merge.landed.batch == batch.id]

    def _held(self, batch: batches.Batch) -> LandingHeld | None:
        """Why git would not let it land, once that was said of each member."""
        commit = batch.stacked.commit if batch.stacked else ""
        said = [self.known[member].held for member in batch.members if member in self.known]
        found = [held for held in said if held and held.commit == commit]
        return found[0] if found and len(found) == len(batch.members) else None

    def _cause(self, batch: batches.Batch) -> str:
        """What happened to it last."""
        return max(
            [happened(batch.latest, BatchFormed), happened(batch.latest, BatchStacked), *(t.id for t in batch.tests)]
        )

    def _slot_of(self, batch: batches.Batch | None) -> int:
        return batch.formed.slot if batch and batch.formed else 1

    def _slot(self) -> int:
        """A worktree for the next batch: one that none is to be tested in, if there is such a one."""
        taken = {self._slot_of(one) for one in self.line}
        free = [slot for slot in range(1, self.settings.merge.parallel + 1) if slot not in taken]
        return free[0] if free else 1

    def _stopped(self) -> bool:
        """Whether a person is to look at something first."""
        return self.run is None or self.run.held is not None

    def _idle(self) -> bool:
        """Whether no session may be started."""
        return self._stopped() or bool(self.run and self.run.ending)
