"""What the messages of merges say. Rule: pure; a title is one line, so that no word of a person or an agent can pass
for a trailer of ours.
"""

import re
from collections.abc import Sequence

from ..eventlog.text import head, plain
from . import Branch, Reverted

_TITLE = 200  # bytes
_NAMED = 20  # issues in the first line of a batch
_OURS = re.compile(r"^(?=---|swarm-[a-z]+[ \t]*:)", re.IGNORECASE | re.MULTILINE)


def merge(branch: Branch) -> str:
    """Of the merge of one branch."""
    return f"Merge {_title(branch)} ({_line(branch.issue)})\n\n{trailers(branch)}"


def squash(branch: Branch) -> str:
    """Of the one commit that has all that a branch brings. (A line of dashes would end the message for git.)"""
    return f"{_title(branch).lstrip('- ') or _line(branch.issue)}\n\n{trailers(branch)}"


def batch(branches: Sequence[Branch]) -> str:
    """Of the merge of several branches at once."""
    issues = [_line(branch.issue) for branch in branches]
    shown = ", ".join(issues[:_NAMED]) + (", …" if len(issues) > _NAMED else "")
    return f"Merge {len(issues)} branches: {shown}\n\n{''.join(map(trailers, branches))}"


def replayed(message: str, branch: Branch | None = None, since: str = "") -> str:
    """Of a commit that is put on another one: as it was, with what could pass for ours quoted. The last one of a
    branch has its trailers; `since` is then what the first of several was put on.
    """
    kept = _OURS.sub("> ", plain(message)).strip() or "(no message)"
    if branch is None:
        return f"{kept}\n"
    return f"{kept}\n\n{trailers(branch)}" + (f"Swarm-Since: {since}\n" if since else "")


def since(message: str) -> str:
    """The commit that `replayed` named; empty if it named none."""
    found = re.search(r"^Swarm-Since: ([0-9a-f]{40,64})$", message.rstrip().rpartition("\n\n")[2], re.MULTILINE)
    return found[1] if found else ""


def revert(commit: str, reason: str, landings: Sequence[tuple[str, str]], keep_closed: bool) -> str:
    """Of the commit that takes out `commit`: all that the log is to be told. `landings`: (issue, the event that says
    that it landed) of all that go with it.
    """
    names = ", ".join(issue for issue, _ in landings)
    said = [f"Swarm-{key}: {value}\n" for one in landings for key, value in zip(("Issue", "Event"), one, strict=True)]
    said += ["Swarm-Keep-Closed: yes\n"] if keep_closed else []
    return f"Revert {names}\n\nThis reverts commit {commit}.\n\n{reason and reason + chr(10) * 2}{''.join(said)}"


def reverted(commit: str, message: str) -> Reverted | None:
    """What the message of that commit says, if it is one of these."""
    text, _, last = message.rstrip().rpartition("\n\n")
    found = re.fullmatch(r"Revert [^\n]+\n\nThis reverts commit [0-9a-f]{40,64}\.(?:\n\n(.*))?", text, re.DOTALL)
    events = re.findall(r"^Swarm-Event: (\S+)$", last, re.MULTILINE)
    if not found or not events:
        return None
    return Reverted(commit, events, (found[1] or "").strip(), "\nSwarm-Keep-Closed: yes" in last)


def trailers(branch: Branch) -> str:
    """Where the work comes from, for `git interpret-trailers --parse`."""
    said = {"Swarm-Issue": branch.issue, "Swarm-Agent": branch.agent, "Swarm-Event": branch.event}
    return "".join(f"{key}: {_line(value)}\n" for key, value in said.items() if value)


def _title(branch: Branch) -> str:
    return _line(branch.title) or _line(branch.issue)


def _line(text: str) -> str:
    return head(" ".join(plain(text).split()), _TITLE).strip()
