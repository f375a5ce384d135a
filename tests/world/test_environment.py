"""What a session sees of our environment: by default all but what would confuse it, else what is allowed."""

import os

import pytest

from swarm.world.environment import of_session

BASE = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "LANG": "C",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/var/tmp",
    "USER": "me",
    "SHELL": "/bin/sh",
    "EDITOR": "vi",
    "AWS_REGION": "x",
    "AWS_PROFILE": "y",
    "AWSOME": "z",
    "SSH_AUTH_SOCK": "/run/agent",
    "GIT_DIR": "/elsewhere",
    "GIT_CONFIG_GLOBAL": "/home/me/gitconfig",
    "SWARM_AGENT": "somebody-else",
    "TMUX": "/tmp/tmux",
    "CLAUDECODE": "1",
}
FOREIGN = {"GIT_DIR", "SWARM_AGENT", "TMUX", "CLAUDECODE"}
NEEDED = {"PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER", "SHELL"}


def test_without_a_list_all_is_seen_but_what_would_confuse() -> None:
    assert of_session(BASE, {}).keys() == BASE.keys() - FOREIGN


@pytest.mark.parametrize(
    ("allow", "more"),
    [
        (["EDITOR"], {"EDITOR"}),
        (["AWS_*"], {"AWS_REGION", "AWS_PROFILE"}),
        (["AWS_REGION", "UNHEARD_OF"], {"AWS_REGION"}),
        (["GIT_*", "TMUX"], {"GIT_CONFIG_GLOBAL"}),
    ],
)
def test_with_a_list_only_what_it_names_and_what_every_program_needs(allow: list[str], more: set[str]) -> None:
    assert of_session(BASE, {}, allow).keys() == NEEDED | more


def test_what_a_session_is_given_is_never_taken_away() -> None:
    given = {"SWARM_LLM_KEY": "k", "GIT_AUTHOR_NAME": "builder-1", "SWARM_PORT_0": "20000"}
    found = of_session(BASE, given, ["EDITOR"])
    assert {name: found[name] for name in given} == given


def test_what_is_secret_by_the_settings_is_told_to_whoever_writes_for_the_session() -> None:
    assert of_session(BASE, {}, [], ["MY_HOST", "MY_NAME"])["SWARM_REDACT"] == "MY_HOST,MY_NAME"
    assert "SWARM_REDACT" not in of_session(BASE, {})


def test_swarm_itself_is_found_after_the_users_own_programs() -> None:
    first, *_, last = of_session(BASE, {}, ["EDITOR"])["PATH"].split(os.pathsep)
    assert first == "/usr/bin"
    assert os.path.exists(os.path.join(last, "swarm"))
