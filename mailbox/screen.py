"""The board as a person sees it: at most 40 lines. Rule: what needs the person comes first and is never cut away.

Long lists are cut and say by how much; commands for the person are shown whole, whatever their length.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..eventlog.telling import one_line, short
from ..eventlog.text import many, printable
from ..projections import Board, batches, issues, mail, merges, runs
from ..projections.issues import BLOCKED, DONE, IN_PROGRESS, OPEN
from . import letters, views, waits
from .addresses import HUMAN, Reader

_ISSUES, _AGENTS, _MERGES, _HELD, _LETTERS = 10, 6, 3, 2, 3
_COMMAND = "    $ "
_ORDER = (BLOCKED, IN_PROGRESS, OPEN, DONE)


def screen(
    board: Board, head: str, conditions: Mapping[str, str] | None = None, width: int = 120, now: float = 0.0
) -> list[str]:
    """The lines of the whole board under the line `head`; see `views.agents_view` for `conditions` and `now`."""
    sections = (_issues(board), _agents(board, conditions, now), _merges(board), _costs(board), _mail(board))
    shown = [head, *(line for section in sections for line in section)]
    return [_cut(line, width) for line in shown]


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width or line.startswith(_COMMAND) else line[: width - 1] + "…"


def _issues(board: Board) -> Iterable[str]:
    counts = views.counts_view(board)
    yield "issues  " + (", ".join(f"{counts[status]} {_word(status)}" for status in _ORDER if counts[status]) or "none")
    known = list(board[issues.State].known())
    todo = sorted((issue for issue in known if issue.status != DONE), key=_urgency)
    done = sorted((issue for issue in known if issue.status == DONE), key=lambda issue: issue.closed, reverse=True)
    shown = (todo + done)[:_ISSUES]
    reasons = waits.reasons(board, shown)
    yield from _columns(_issue_cells(board, issue, reasons.get(issue.id, "")) for issue in shown)
    yield from _more(sum(counts.values()) - _ISSUES)


def _urgency(issue: issues.Issue) -> tuple[int, int, str]:
    """What needs a person first, then what is at work, then what is next."""
    return _ORDER.index(issue.status), issue.opened.priority if issue.opened else 0, issue.generation


def _issue_cells(board: Board, issue: issues.Issue, waiting: str) -> tuple[str, ...]:
    needs = board[issues.State].waiting(issue) if issue.status == OPEN else []
    reason = f"waits: {waiting}" if waiting else issue.reason if issue.status != DONE else ""
    why = f"needs {', '.join(needs)}" if needs else reason
    title = one_line(issue.opened.title if issue.opened else "", 50)
    return issue.id, "waiting" if needs else _word(issue.status), issue.assignee or "-", title + (why and f": {why}")


def _agents(board: Board, conditions: Mapping[str, str] | None, now: float) -> Iterable[str]:
    rows = sorted(views.agents_view(board, conditions, now), key=lambda row: (row["state"] == views.IDLE, row["name"]))
    busy = sum(1 for row in rows if row["state"] != views.IDLE)
    yield f"agents  {busy} at work, {len(rows) - busy} idle"
    yield from _columns([agent_cells(row) for row in rows[:_AGENTS]])
    yield from _more(len(rows) - _AGENTS)


def agent_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """An agent's row (`views.agents_view`) as cells: name, state, issue, what does it, life, note."""
    what = " ".join(word for word in (row["runtime"], row["model"]) if word)
    seen = f"seen {row['seen'][11:19]}" if row["seen"] else f"since {row['since'][11:19]}"
    issue = f"{row['issue']}-{row['attempt']}" if row["issue"] else "-"
    return row["name"], row["state"], issue, what, seen, one_line(row["note"], 80)


def _merges(board: Board) -> Iterable[str]:
    rows = views.merges_view(board)
    waiting = [row for row in rows if row["status"] in ("queued", "testing", "tested", "held")]
    landed = [row for row in rows if row["status"] == "landed"]
    flaked = sum(board[batches.State].flakes().values())
    flakes = f", tests flaked {many(flaked, 'time')}: swarm merge list" if flaked else ""
    yield f"merges  {len(waiting)} waiting, {board[merges.State].landed()} landed{flakes}"
    stopped = board[runs.State].held
    if stopped:
        yield f"  the queue is held: {one_line(stopped.reason)}"
        yield f"{_COMMAND}swarm merge now"
    held = [row for row in waiting if row["status"] == "held"]
    for row in held[:_HELD]:
        yield f"  {one_line(row['issue'])} is ready to land, but git says: {one_line(row['reason'])}"
        yield f"{_COMMAND}{printable(row['command'])}"
    yield from _more(len(held) - _HELD)
    moving = [row for row in waiting if row["status"] != "held"]
    yield from _columns(
        (row["issue"], row["status"], row["commit"][:10], row["target"], row["branch"], _together(board, row))
        for row in (*moving[:_MERGES], *landed[: -_MERGES - 1 : -1])
    )
    yield from _more(len(moving) - _MERGES)


def _together(board: Board, row: Mapping[str, Any]) -> str:
    """With whom it is tested, if with anybody."""
    batch = None if row["status"] == "landed" else board[batches.State].holding((row["issue"], row["attempt"]))
    others = [issue for issue, _ in batch.members if issue != row["issue"]] if batch else []
    return f"with {', '.join(others)}" if others else ""


def _costs(board: Board) -> Iterable[str]:
    used = views.costs_view(board)
    if not used["by_agent"]:
        yield "costs   none reported"
        return
    dearest = sorted(used["by_agent"].items(), key=lambda item: (-(item[1]["cost"] or 0), item[0]))[:3]
    by_agent = ", ".join(f"{one_line(name, 30)} {_price(total)}" for name, total in dearest)
    tokens = f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out"
    yield f"costs   {_price(used)}, {used['calls']} calls, {tokens}" + (f": {by_agent}" if by_agent else "")


def _price(total: Mapping[str, Any]) -> str:
    """Dollars; what has no known price is called unknown, never nothing."""
    if total["cost"] is None:
        return "price unknown"
    return f"${total['cost']:.4f}" + (" and more, part unpriced" if total["unpriced"] else "")


def _mail(board: Board) -> Iterable[str]:
    rows, number = views.mail_view(board, _LETTERS), board[mail.State].number()
    unread = len(letters.unread(board, Reader(HUMAN)))
    waiting = f", {unread} unread for you: swarm mail check --to human" if unread else ""
    yield f"mail    {number} letter{'' if number == 1 else 's'}{waiting}"
    yield from _columns(
        (short(row["id"]), row["at"][11:19], row["from"], "> " + ", ".join(row["to"]), row["type"], row["body"])
        for row in rows
    )


def _word(status: str) -> str:
    return status.replace("_", " ")


def _columns(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Rows indented, columns as wide as they need."""
    cells = [[one_line(cell, 140) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _more(count: int) -> Iterable[str]:
    if count > 0:
        yield f"  … and {count} more"
