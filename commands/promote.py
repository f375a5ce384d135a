"""Bring what is on the staging branch to the main branch."""

import os

import click

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import BranchPromoted, MergeLanded
from ..world import Conflict, Landed, Merged, Refused
from ..world.clock import now
from ..world.git import Git
from . import Home, as_json, emit, say, whoami

GROUP = "Work"
STAGING, MAIN = "SWARM_STAGING_BRANCH", "SWARM_MAIN_BRANCH"
TREE = ".swarm/worktrees/promote"


@click.command()
@click.option("--validate", metavar="CMD", help="Shell command that must pass on exactly what is to be on main.")
@click.option("--from", "source", metavar="BRANCH", help=f"Default: ${STAGING}, else staging.")
@click.option("--to", "target", metavar="BRANCH", help=f"Default: ${MAIN}, else the one that is checked out.")
@as_json
def command(validate: str | None, source: str | None, target: str | None, json_: bool) -> None:
    """Bring what is on the staging branch to the main branch.

    A swarm that lands on a branch of its own (`swarm start --target staging`) leaves main alone until then. Where main
    has not moved it is fast-forwarded, else both are merged. A checkout of main is only fast-forwarded by git itself.
    """
    home = Home()
    git = Git(home.place.root, home.place.common)
    source = source or os.environ.get(STAGING) or "staging"
    target = target or os.environ.get(MAIN) or git.default_branch()
    if source == target:
        raise UsageError(f"both branches are {source}", "swarm promote --from BRANCH --to BRANCH")
    for name in (source, target):
        if not git.branch_exists(name):
            raise UsageError(f"there is no branch {name}", f"git branch {name}")
    base, tip = git.tip(target), git.tip(source)
    if git.is_ancestor(tip, base):
        _say_late(home, git, source, target, tip)
        emit({"target": target, "commit": base}) if json_ else say(f"{target} has everything of {source} already")
        return
    commit = _merged(git, source, target, base, tip)
    if validate:
        _check(home, git, validate, commit, source)
    result = git.land(target, base, commit)
    if isinstance(result, Refused):
        raise SwarmError(f"{target} cannot be moved: {result.reason}", f"then again, or by hand: {result.command}")
    if not isinstance(result, Landed):
        raise SwarmError(f"{target} moved meanwhile; nothing was changed", "run it again")
    home.append(whoami(home.place), [("", BranchPromoted(source, target, base, commit))])
    if json_:
        emit({"source": source, "target": target, "base": base, "commit": commit})
    else:
        say(f"{target} is at {commit[:10]}: it has everything of {source}")


def _say_late(home: Home, git: Git, source: str, target: str, tip: str) -> None:
    """Main has it, and nothing was said since it landed on staging: whoever brought it there was killed before that."""
    from ..eventlog.tail import Tail

    told = Tail(home.place.log, [BranchPromoted.type, MergeLanded.type]).read()
    promoted = max((e.id for e in told if isinstance(e.data, BranchPromoted) and e.data.target == target), default="")
    landed = [e for e in told if isinstance(e.data, MergeLanded) and e.data.target == source and e.id > promoted]
    if landed:
        before, after = git.brought(target, tip)
        first = min(landed, key=lambda event: event.id).data.base
        home.append(whoami(home.place), [("", BranchPromoted(source, target, before or first, after))])


def _merged(git: Git, source: str, target: str, base: str, tip: str) -> str:
    """The commit that has both: the tip of staging itself, where main did not move."""
    if git.is_ancestor(base, tip):
        return tip
    name, email = git.identity() or ("swarm", "swarm@swarm.invalid")
    made = git.merge(base, tip, f"Merge {source} into {target}\n", f"{name} <{email}>", now())
    if isinstance(made, Merged):
        return made.commit
    assert isinstance(made, Conflict)  # noqa: S101  # there is nothing else
    raise SwarmError(
        f"{source} does not merge into {target}: conflict in {', '.join(made.files[:5])}",
        f"merge {target} into {source} first, and run it again",
    )


def _check(home: Home, git: Git, validate: str, commit: str, source: str) -> None:
    """Run the command on a checkout of exactly that commit, set up like any worktree, in front of the person; raises
    SwarmError if it fails.
    """
    from ..world import foreground
    from ..world.settings import load

    settings = load(home.place.root)
    recipe = settings.workspace
    path = git.gate(TREE, commit)
    try:
        git.furnish(TREE, recipe.copy, recipe.link)
        if recipe.setup and (code := foreground.run(recipe.setup, path, recipe.minutes * 60)):
            raise SwarmError(f"the setup command {_ended(code)}; nothing was changed", "its output is above")
        code = foreground.run(validate, path, settings.limits.gate_minutes * 60)
    finally:
        git.remove(TREE, commit)
    if code:
        words = f"the validation of {source} at {commit[:10]} {_ended(code)}; nothing was changed"
        raise SwarmError(words, "its output is above")


def _ended(code: int) -> str:
    if code in (126, 127):
        return f"could not be run (exit code {code})"
    return "did not end in time" if code < 0 else f"failed with exit code {code}"
