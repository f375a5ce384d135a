"""The README says what is true: its lists are compared with the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import click

import swarm
from swarm import cli, projections, runtimes
from swarm.world.tables import Settings, Table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """(`swarm mail send`, its first line of help) for every command that does something."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, f"{path} {name}")
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, (command.help or "").strip().partition("\n")[0]


def test_every_command_has_its_row_and_no_other_has_one() -> None:
    rows = dict(re.findall(r"^\| `(swarm [^`]+)` \| (.*) \|$", README, re.MULTILINE))
    assert rows == dict(leaves(cli.swarm, "swarm"))


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["dev"]
    named = README.split("## Dependencies")[1].split("\n## ")[0]
    for requirement in needed:
        assert re.match("[a-z-]+", requirement)[0] in named.replace("\n", " "), requirement  # type: ignore[index]


def test_nothing_is_left_to_be_filled_in() -> None:
    for placeholder in ("COMMANDS-TABLE", "BENCH-TABLE", "DEMO-OUTPUT", "TODO", "bench:begin -->\n<!-- bench:end"):
        assert placeholder not in README


def test_every_room_is_on_the_map() -> None:
    for room in (ROOT / ".importlinter").read_text().split("layers =")[1].split("[")[0].replace("|", "\n").split():
        assert f"`{room}{'.py' if (ROOT / f'{room}.py').exists() else '/'}`" in README


def test_every_setting_is_shown_with_its_default() -> None:
    shown = tomllib.loads(README.split("```toml")[1].split("```")[0])
    for table in Settings.__struct_fields__:
        default = getattr(Settings(), table)
        there = shown[table][0] if isinstance(default, list) else shown[table]
        if not isinstance(default, Table):  # as many as one likes: any of them has its keys
            parts = get_args(get_type_hints(Settings)[table])[-1]
            assert set(there if isinstance(default, list) else there["pi"]) == set(parts.__struct_fields__), table
            continue
        assert set(there) == set(default.__struct_fields__), table
        for key, value in there.items():
            if value != getattr(default, key):  # an example tells more than an empty one
                assert not getattr(default, key), f"{table}.{key}"


def test_every_runtime_and_projection_is_named() -> None:
    for name in [*runtimes.names(), *projections.names()]:
        assert re.search(rf"\b{name}\b", README), name


def test_the_newest_changelog_entry_is_this_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert newest
    assert newest[1] == swarm.__version__ == version


def test_every_target_of_the_makefile_that_the_readme_names_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"make (\w+)", README):
        assert target in targets
