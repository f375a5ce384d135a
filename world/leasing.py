"""The lines by which this node acquires and prolongs leases. Rule: a line made here counts only once a push has carried
it: until then it is in no file.
"""

from collections.abc import Callable, Iterable

from ..eventlog.events import LeaseAcquired
from ..eventlog.ids import Minter, node_bits, rfc3339
from ..eventlog.lines import decode_block, digest, encode, envelope
from ..eventlog.tail import Tail
from ..projections import Board, leases, types

Wish = tuple[str, str]
"""An issue and its generation."""
SOURCE = "carrier"


class Leasing:
    """Of the node `node`; the log is in `directory`. A lease lasts `seconds`; `now` gives Unix time, `run` is the run
    that wants them.
    """

    def __init__(
        self,
        directory: str,
        node: str,
        seconds: float,
        now: Callable[[], float],
        entropy: Callable[[], int],
        run: str = "",
    ) -> None:
        self.author = f"l{node[1:]}"
        self._node, self._seconds, self._now, self._run = node, seconds, now, run
        self._minter = Minter(node_bits(self.author), now, entropy)
        self._board = Board(("leases",))
        self._tail = Tail(directory, types(("leases",)))

    def lines(self, wishes: Iterable[Wish], ends: Iterable[bytes], before: bytes) -> list[tuple[str, bytes]]:
        """(id, line) of the leases to acquire or prolong now: for each wish that nobody else holds.

        They sort after everything in `ends`, the last lines of each node, and follow `before`, our own last ones.
        """
        self._board.fold(self._tail.read())
        wanted = [(wish, after) for wish in wishes if (after := self._after(*wish)) is not None]
        if not wanted:
            return []
        for end in ends:
            for event in decode_block(end)[0]:
                self._minter.observe(event.id)
        mine = before.splitlines()[-1:]
        prev = digest(mine[0]) if mine else ""
        found = []
        for (issue, generation), after in wanted:
            id_ = self._minter.mint()
            lease = LeaseAcquired(self._node, generation, round(self._now() + self._seconds, 3), after)
            attributes = {"source": SOURCE, "subject": issue, "causationid": generation, "correlationid": self._run}
            line = encode(envelope(lease, id=id_, time=rfc3339(id_), prev=prev, **attributes))
            prev = digest(line)
            found.append((id_, line))
        return found

    def _after(self, issue: str, generation: str) -> str | None:
        """What a new lease names as the one before it, perhaps nothing; None: there is none to be had, or needed."""
        state, now = self._board[leases.State], self._now()
        last, held = state.newest(issue, generation), state.holder(issue, generation, now)
        if held and (held.data.node != self._node or held.data.until - now > self._seconds / 2):
            return None
        return last.id if last else ""
