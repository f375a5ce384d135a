"""Every command there is, and which of them are for writing."""

from collections.abc import Iterator

import click

from swarm.cli import swarm as whole

WRITES = {
    *("init", "start", "stop", "sync"),
    *("issue create", "issue close", "issue reopen", "issue update", "issue assign", "agent kill"),
    *("mail send", "mail read", "mail check"),
    *("work restore", "work clean", "work clear", "budget raise"),
    *("merge retry", "merge drop", "merge now", "rollback", "promote"),
}
"""Those that are for writing. `log repair` without --dry-run is too."""


def commands(group: click.Group = whole, before: str = "") -> Iterator[str]:
    """The names of every command: of a group those in it, and its own if it does something by itself."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, f"{before}{name} ")
        if not isinstance(found, click.Group) or found.invoke_without_command:
            yield before + name
