"""Issues, the pieces of work: write, list, show, steer."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import (
    FindingsReported,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueLinked,
    IssueOpened,
    IssueReopened,
    IssueTaken,
)
from ..eventlog.fact import Fact
from ..eventlog.files import Draft
from ..mailbox import addresses, letters, views, waits
from ..projections import Board, agents, fact, issues, mail
from ..world.clock import entropy, now
from . import Home, as_json, body_of, emit, fitting, say, table, whoami

GROUP = "Work"
LONGEST_TITLE = 500
STATUSES = {"closed": issues.DONE, "in-progress": issues.IN_PROGRESS, **{status: status for status in issues.STATUSES}}
"""What may be written for a status -> the status."""
_REASONS = ("admission", "agents", "issues", "quotas", "runs")
"""The projections that say why a ready issue is not begun."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@click.group()
def command() -> None:
    """Issues, the pieces of work: write, list, show, steer.

    An id may be shortened to any unique prefix, with or without its `sw-`.
    """


# --- writing --------------------------------------------------------------------------------------


class _Titled(click.Command):
    """A title that begins with `-` looks like an option: the error says how to write it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with that hint."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            dashed = [word for word in given if word.startswith("-")]
            word = next((word for word in dashed if word.startswith(error.option_name)), dashed[0])
            title = "'" + word.replace("'", "'\"'\"'") + "'"
            raise UsageError(
                error.format_message(),
                f"a title that begins with - stands after --, options before: swarm issue create --body … -- {title}",
            ) from None


@command.command(cls=_Titled)
@click.argument("title")
@click.option("--body", metavar="TEXT|-", help="What is to be done; the script, for the runtime shell. -: from stdin.")
@click.option("--runtime", default="", metavar="R", help="Which coding agent (default: [start] runtime).")
@click.option("--role", type=click.Choice(["builder", "scout"]), default="builder", help="A scout only reads.")
@click.option("--model", default="", metavar="M")
@click.option("--needs", multiple=True, metavar="ID", help="Wait until that issue is done.")
@click.option("--priority", type=click.IntRange(1, 5), default=3, help="1 is the most urgent (default 3).")
@click.option("--label", "labels", multiple=True, metavar="L")
def create(
    title: str, body: str | None, runtime: str, needs: Sequence[str], labels: Sequence[str], **rest: Any
) -> None:
    """Write an issue; prints its id.

    A title that begins with - stands after --, and the options before.
    """
    home = Home()
    title = _one_line(title, "title")
    labels = [_one_line(label, "label") for label in labels]
    text = body_of(body)
    _check_runtime(home, runtime, text)
    source = whoami(home.place)

    def ask(board: Board) -> list[Draft]:
        state = board[issues.State]
        new = _fresh_id(state)
        full = issues.check_needs(state, new, needs)
        opened = IssueOpened(title=title, body=text, runtime=runtime, needs=full, labels=labels, **rest)
        return [Draft(opened, source, new)]

    click.echo(home.decide(("issues",), ask)[0].subject)


def _one_line(text: str, what: str) -> str:
    """The text with each run of newlines and control characters as one space: said, if it changes anything."""
    line = " ".join(part.strip() for part in _CONTROLS.split(fitting(text, what))).strip()
    if not line:
        raise UsageError(f"the {what} is empty", "swarm issue create 'what is to be done, in a few words'")
    if len(line) > LONGEST_TITLE:
        raise UsageError(
            f"the {what} has {len(line):,} characters, and may have {LONGEST_TITLE}",
            "say it in a few words, and the rest with --body",
        )
    if _CONTROLS.search(text):
        click.echo(f"the {what} has newlines or control characters; each became a space", err=True)
    return line


def _check_runtime(home: Home, runtime: str, body: str) -> None:
    """Raises UsageError if there is no such runtime, or if it is the shell and there is nothing to run."""
    from .. import runtimes

    if runtime:
        runtimes.runtime(runtime)
    if body.strip():
        return
    if not runtime:
        from ..world.settings import load

        runtime = load(home.place.root).start.runtime
    if runtime == "shell":
        raise UsageError(
            "for the runtime shell the body is the script, and there is none",
            f"add --body 'the commands to run', or choose another --runtime: {', '.join(runtimes.names())}",
        )


def _fresh_id(state: issues.State) -> str:
    while True:
        made = f"sw-{entropy() >> 32:08x}"
        if made not in state.all:
            return made


# --- looking --------------------------------------------------------------------------------------


@command.command("list")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Only those.")
@click.option("--label", metavar="L", help="Only those with this label.")
@as_json
def list_(status: str | None, label: str | None, json_: bool) -> None:
    """The issues, oldest first."""
    rested = status in (None, issues.DONE)
    home = Home()
    state = home.board(("issues",), whole=rested)[issues.State]
    found = [issue for issue in state.known() if not status or issue.status == STATUSES[status]]
    found = [issue for issue in found if not label or label in _opened(issue).labels]
    _print(home, state, found, json_, "no such issue" if state.all else "no issue yet")


@command.command()
@as_json
def ready(json_: bool) -> None:
    """What could be given to an agent now, most urgent first."""
    home = Home()
    state = home.board(("issues",))[issues.State]
    _print(home, state, state.ready(), json_, "nothing is ready")


@command.command()
@click.argument("id")
@as_json
def show(id: str, json_: bool) -> None:  # noqa: A002
    """All about one issue: its text, its attempts and what became of them, its letters."""
    board = Home().board(("mail", *_REASONS))
    issue = issues.find(board[issues.State], id)
    for address in (f"about:{issue.id}", f"issue:{issue.id}"):
        board[mail.State].fetch(address, "")
    document = _document(board, issue)
    if json_:
        emit(document)
    else:
        _print_whole(document)


def _opened(issue: issues.Issue) -> IssueOpened:
    return issue.opened or IssueOpened(title="")


def _why(state: issues.State, issue: issues.Issue, waiting: str) -> str:
    """Why it does not go on, or what went wrong last; empty if nothing did."""
    needs = state.waiting(issue) if issue.status == issues.OPEN else []
    if needs:
        return f"needs {', '.join(needs)}"
    return f"waits: {waiting}" if waiting else issue.reason


def _print(home: Home, state: issues.State, found: list[issues.Issue], json_: bool, none: str) -> None:
    why = waits.reasons(home.board(_REASONS), found, now()) if found else {}
    if json_:
        emit([{**views.issue_row(issue), "waits": why.get(issue.id, "")} for issue in found])
    elif found:
        rows = [
            (
                i.id,
                i.status,
                _opened(i).priority,
                i.assignee or "-",
                _opened(i).title,
                _why(state, i, why.get(i.id, "")),
            )
            for i in found
        ]
        table(rows, ("id", "status", "prio", "assignee", "title", "why"))
    else:
        say(f"{none}; write one:  swarm issue create 'a title' --body 'what is to be done'")


def _document(board: Board, issue: issues.Issue) -> dict[str, Any]:
    """What `show` tells: the entry of the list, and all that hangs on it."""
    state, opened, event = board[issues.State], _opened(issue), issue.latest[IssueOpened]
    tries = [
        attempt for key, attempt in sorted(board[agents.State].attempts.items()) if key[0] == issue.id and attempt.agent
    ]
    found = [(attempt.number, attempt.get(FindingsReported)) for attempt in tries]
    return {
        **views.issue_row(issue),
        "model": opened.model,
        "labels": opened.labels,
        "opened": event.time,
        "by": addresses.address_of(event.source),
        "reason": issue.reason,
        "waits_for": state.waiting(issue),
        "waits": waits.reasons(board, [issue], now()).get(issue.id, ""),
        "body": opened.body,
        "tries": [_try(issue, attempt) for attempt in tries],
        "findings": [{"attempt": number, "text": answer.text} for number, answer in found if answer],
        "mail": [letters.row(letter) for letter in board[mail.State].sent() if _about(letter, issue.id)],
    }


def _try(issue: issues.Issue, attempt: agents.Attempt) -> dict[str, Any]:
    seen = issue.attempts[attempt.number]
    given = attempt.assigned
    return {
        "number": attempt.number,
        "agent": attempt.agent,
        "runtime": given.runtime if given else "",
        "model": given.model if given else "",
        "outcome": attempt.stage,
        "failure": seen.failure,
        "commit": seen.landed,
    }


def _about(letter: mail.Letter, issue_id: str) -> bool:
    return letter.sent is not None and (
        letter.sent.data.issue == issue_id or f"issue:{issue_id}" in letter.sent.data.to
    )


def _print_whole(document: dict[str, Any]) -> None:
    say(f"{document['id']}  {document['title']}")
    for name in ("status", "waits", "reason", "priority", "role", "runtime", "model", "assignee", "branch", "commit"):
        if document[name]:
            say(f"  {name:<9} {document[name]}")
    for name in ("needs", "waits_for", "labels"):
        if document[name]:
            say(f"  {name.replace('_', ' '):<9} {', '.join(document[name])}")
    say(f"  {'opened':<9} {document['opened']} by {document['by']}")
    if document["body"]:
        say(f"\n{document['body'].rstrip()}")
    for one in document["tries"]:
        failure = f": {one['failure']}" if one["failure"] else ""
        say(f"\nattempt {one['number']} by {one['agent']} ({one['runtime']}): {one['outcome']}{failure}")
    for found in document["findings"]:
        say(f"\nfindings of attempt {found['attempt']}:\n{found['text'].rstrip()}")
    for letter in document["mail"]:
        to = ", ".join(letter["to"])
        say(f"\n{letter['at']}  {letter['from']} to {to}, {letter['type']}, {letter['status']}:\n{letter['body']}")


# --- steering -------------------------------------------------------------------------------------


@command.command()
@click.argument("id")
@click.option("--reason", default="", metavar="R")
def close(id: str, reason: str) -> None:  # noqa: A002
    """It is done, or need not be done; an agent at work on it is called off."""
    _steer(id, issues.DONE, reason)


@command.command()
@click.argument("id")
@click.option("--reason", default="", metavar="R")
def reopen(id: str, reason: str) -> None:  # noqa: A002
    """It is to be done again: for one that is done, blocked, or taken by a person."""
    _steer(id, issues.OPEN, reason)


@command.command()
@click.argument("id")
@click.option("--status", type=click.Choice(list(STATUSES)), help="in_progress: you do it yourself.")
@click.option("--needs", multiple=True, metavar="ID", help="Also wait until that issue is done.")
@click.option("--reason", default="", metavar="R", help="Why the status changes.")
def update(id: str, status: str | None, needs: Sequence[str], reason: str) -> None:  # noqa: A002
    """Change its status, or what it waits for."""
    if not status and not needs:
        raise UsageError("nothing to change", f"swarm issue update {id} --status {'|'.join(issues.STATUSES)}")
    _steer(id, STATUSES[status] if status else "", reason, needs)


@command.command()
@click.argument("id")
@click.argument("agent")
def assign(id: str, agent: str) -> None:  # noqa: A002
    """Have this agent do it: the next attempt waits until that agent is free."""
    name = addresses.agent_name(agent)

    def ask(issue: issues.Issue, _state: issues.State, _source: str) -> tuple[list[Fact], str]:
        if issue.status == issues.DONE:
            raise UsageError(f"{issue.id} is done", f"swarm issue reopen {issue.id}")
        delegated = fact(issue.latest, IssueDelegated)
        if delegated and delegated.agent == name:
            return [], f"{issue.id} already waits for {name}"
        return [IssueDelegated(agent=name)], f"{issue.id} is for {name}"

    _decide(id, ask)


def _steer(prefix: str, status: str, reason: str, needs: Sequence[str] = ()) -> None:
    """Bring the issue to that status (empty: as it is), have it also wait for `needs`, and say what came of it."""
    reason = fitting(reason, "reason")
    warning = ""

    def ask(issue: issues.Issue, state: issues.State, source: str) -> tuple[list[Fact], str]:
        nonlocal warning
        facts: list[Fact] = []
        words = []
        if needs:
            more = [need for need in issues.check_needs(state, issue.id, needs) if need not in issue.needs]
            facts += [IssueLinked(needs=more)] if more else []
            at_work = _at_work(issue)
            if more and at_work and not status:
                warning = f"the attempt at work goes on; to call it off: swarm agent kill {at_work.agent}"
            words.append(f"needs {', '.join(more)}" if more else "already needs that")
        if status and status == issue.status:
            words.append(f"is already {status}" + (f" ({issue.assignee})" if status == issues.IN_PROGRESS else ""))
        elif status:
            facts.append(_mark(issue, status, reason, addresses.address_of(source)))
            words.append(f"is {status} now")
        return facts, f"{issue.id} {' and '.join(words)}"

    _decide(prefix, ask)
    if warning:
        click.echo(warning, err=True)


def _at_work(issue: issues.Issue) -> IssueAssigned | None:
    """What was given to the agent that is at work on it, if the swarm is to go on with it."""
    return issue.current.assigned if issue.current and not issue.mark else None


def _mark(issue: issues.Issue, status: str, reason: str, by: str) -> Fact:
    """The fact that brings the issue to a status it does not have; raises UsageError if that is not for `by` to say."""
    at_work = _at_work(issue)
    if at_work and status == issues.OPEN and issue.status != issues.BLOCKED:
        raise UsageError(f"{at_work.agent} is at work on {issue.id}", f"call it off: swarm agent kill {at_work.agent}")
    if at_work and status == issues.DONE and by == f"agent-{at_work.agent}":
        raise UsageError(
            f"an agent does not say of its own work that it is done: {issue.id}", "exit: the swarm tests and merges it"
        )
    if status == issues.OPEN:
        return IssueReopened(reason=reason)
    if status == issues.IN_PROGRESS:
        return IssueTaken(generation=issue.generation, by=by)
    if status == issues.BLOCKED:
        return IssueHeld(generation=issue.generation, reason=reason or f"held by {by}")
    return IssueClosed(generation=issue.generation, reason=reason)


def _decide(prefix: str, ask: Callable[[issues.Issue, issues.State, str], tuple[list[Fact], str]]) -> None:
    """Ask (issue, state, source) -> (facts, words) with the log locked; append the facts, and say the words."""
    home = Home()
    source, said = whoami(home.place), ""

    def asked(board: Board) -> list[Draft]:
        nonlocal said
        state = board[issues.State]
        issue = issues.find(state, prefix)
        facts, said = ask(issue, state, source)
        return [Draft(fact, source, issue.id) for fact in facts]

    home.decide(("issues",), asked)
    say(said)
