"""What an agent is told. Rule: everything it needs to do the issue and to write letters, and nothing else."""

from collections.abc import Sequence

from ..eventlog.text import printable

BUILDER = """\
Work in the current directory: it is your own git worktree, on your own branch. Change what the task needs and
nothing else. Do not push, do not switch branches, do not touch files outside this directory. You may commit; what you
leave uncommitted is committed for you. When you are done, your work is tested and merged by the swarm, not by you."""

SCOUT = """\
You are a scout: read, explore and answer; change no file. Your last message is your report: it is kept as the answer to
this task, so make it complete."""

RESOLVE = """\
The work was done before, but it does not merge with what landed meanwhile. What is in the current directory is that
merge, half done: {files} where git could not join the two, it left both sides between <<<<<<< and >>>>>>>. Resolve that
and nothing else: keep what either side meant, drop no line of either without need, and leave no such mark behind."""

MAIL = """\
Other agents and a person work on the same repository. You can write to them:
  swarm mail send --to ADDRESS --type progress|blocked|help_request|handoff|event --body TEXT
ADDRESS is coordinator, human, agent-NAME, issue:ID, broadcast, @builders or @scouts. Read what they wrote to you with
  swarm mail check
If you cannot go on without a person, send a letter of type blocked to coordinator and stop."""


LESSON = 6000
"""Characters that a retry is told of what failed before."""
_NOTE = 60


def cut(text: str, size: int) -> str:
    """The text, or its beginning and its end with a note of what is left out in between: `size` characters at most."""
    if len(text) <= size:
        return text
    room = size - _NOTE
    note = f"\n[... {len(text) - room:,} characters are left out ...]\n"
    return text[: room // 3] + note + text[room // 3 - room :]


PORTS = """\
The ports {first} to {last} of this machine are yours alone, also as SWARM_PORT_0 to SWARM_PORT_9 in the environment.
Whatever you start that listens, have it listen there: others work beside you."""


def compose(
    issue: str,
    title: str,
    body: str,
    role: str,
    agent: str,
    failure: str = "",
    output: str = "",
    port: int = 0,
    conflict: Sequence[str] = (),
) -> str:
    """The prompt of one attempt. `failure` and `output` say what became of the attempt before, if there was one;
    `port` is the first of its ten ports, 0 if it has none; `conflict` names the files that are to be merged, if that is
    the task.
    """
    parts = [f"# {printable(title)}", printable(body).strip(), SCOUT if role == "scout" else BUILDER]
    if conflict:
        parts.append(RESOLVE.format(files=f"in {printable(', '.join(conflict))},"))
    if failure:
        again = f"This was tried before and failed: {cut(printable(failure), LESSON // 4)}"
        evidence = cut(printable(output).strip(), LESSON - len(again))
        parts += [again, evidence]
    if port:
        parts.append(PORTS.format(first=port, last=port + 9))
    parts += [MAIL, f"You are {agent}; the task is {issue}."]
    return "\n\n".join(part for part in parts if part) + "\n"
