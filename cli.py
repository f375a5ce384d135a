"""`swarm`: finds command files by name, imports none of them for `--help`, turns errors into words and exit codes.

Rule: this file knows no command. `commands/<name>.py` is the command `<name>`: it has a docstring whose first line is
its help, `GROUP`, the heading it stands under, and `command`, a click command. Both texts are read without importing
the file, so that an agent's `swarm mail` pays for `mail` alone.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 our bug (with a report file), 130 interrupted.
"""

import errno
import gc
import os
import sys
from importlib import import_module
from typing import Any

import click

from . import __version__
from .eventlog.errors import SwarmError

_FOLDER = os.path.join(os.path.dirname(__file__), "commands")
_GROUPS = ("Begin", "Work", "Watch", "Log")
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
"""What a system may run out of wherever one asks it for something: no bug."""


class Commands(click.Group):
    """Loads one command file when it is called, and none to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The command files there are."""
        return sorted(name[:-3] for name in os.listdir(_FOLDER) if name.endswith(".py") and name[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import that one file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__package__}.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Their first lines, under their headings."""
        found = [(name, *_headline(name)) for name in self.list_commands(ctx)]
        for heading in _GROUPS:
            rows = [(name, words) for name, words, group in found if group == heading]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown command gets the nearest known one as a hint."""
        if args and args[0][:1] != "-" and args[0] not in self.list_commands(ctx):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            ctx.fail(f"there is no command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


def _headline(name: str) -> tuple[str, str]:
    """(first line of the docstring, GROUP) of a command file, read without importing it."""
    with open(os.path.join(_FOLDER, f"{name}.py"), encoding="utf-8") as file:
        text = file.read()
    words = text.partition('"""')[2].partition("\n")[0].removesuffix('"""')
    return words, text.partition('\nGROUP = "')[2].partition('"')[0]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="swarm")
def swarm() -> None:
    """A team of coding agents on one git repository.

    Write issues, run `swarm start`, get tested and merged commits. Everything that happens is one line in an
    append-only log.
    """


def main(args: list[str] | None = None) -> None:
    """The `swarm` program: runs one command and exits."""
    code = run(sys.argv[1:] if args is None else args)
    gc.freeze()  # or Python looks through all that was imported for garbage, only to end
    sys.exit(code)


def run(args: list[str], command: click.Command = swarm) -> int:
    """Run a command line; returns its exit code."""
    try:
        result = command.main(args=args, prog_name="swarm", standalone_mode=False)
        if sys.stdout:  # None if it was closed before we began
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the one place that catches everything
        return failed(error, args)
    return result if isinstance(result, int) else 0


def failed(error: BaseException, args: list[str]) -> int:
    """The exit code of a command line that ended so. Errors of every kind become words on standard error here and
    nowhere else.
    """
    match error:
        case SwarmError() if error.exit_code == 3:
            return _complain(str(error), f"{error.hint}\nreport: {_report(error, args)}", 3)
        case SwarmError():
            return _complain(str(error), error.hint, error.exit_code)
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return 130
        case BrokenPipeError():
            # Whoever read us has closed the pipe: nothing was printed in full. Python must not complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError(errno=number) if number in _SHORTAGES:
            return _complain(f"{error}", "free some, or raise the limit (ulimit -a), and run it again", 1)
    words = f"this is a bug in swarm: {type(error).__name__}: {error}"
    return _complain(words, f"report: {_report(error, args)}", 3)


def _complain(message: str, hint: str, code: int) -> int:
    from .eventlog.text import printable

    click.echo(f"swarm: {printable(message)}", err=True)
    for line in printable(hint).splitlines():
        click.echo(f"       {line}", err=True)
    return code


def _report(error: BaseException, args: list[str]) -> str:
    """Write what a maintainer needs into a file; returns its path, or why there is none."""
    import platform
    import tempfile
    import traceback

    lines: list[Any] = [f"swarm {__version__}, Python {platform.python_version()}, {platform.platform()}", args, ""]
    text = "\n".join(map(str, lines)) + "\n" + "".join(traceback.format_exception(error))
    try:
        fd, path = tempfile.mkstemp(prefix="swarm-report-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as another:
        return f"it could not be written: {another.strerror}"
    return path


if __name__ == "__main__":
    main()
