"""The environment of a session, and the private files it starts from. Rule: nothing of ours or of git's leaks in by
accident.

What is taken away: variables that would redirect an agent's git (GIT_*) or tell it that it runs inside another agent
or terminal; and every SWARM_* but those given. With `[environment] allow`, everything else too but what any program
needs and what is allowed by its name.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from ..eventlog.errors import SwarmError
from ..eventlog.suspects import LISTED

_FOREIGN = ("GIT_", "SWARM_", "TMUX", "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSH_COMMAND", "GIT_ASKPASS")
_NEEDED = ("PATH", "HOME", "LANG", "LC_*", "TERM", "TMPDIR", "USER", "SHELL")


def of_session(
    base: Mapping[str, str], extra: Mapping[str, str], allow: Sequence[str] = (), redact: Sequence[str] = ()
) -> dict[str, str]:
    """`base` without what is foreign, plus `extra`; `swarm` itself is found on PATH, after everything of the user's
    own.

    `allow`: names, or beginnings as `AWS_*`; empty: all. `redact`: the variables whose values are secret besides those
    whose names say so.
    """
    env = {name: value for name, value in base.items() if name in _KEPT or not name.startswith(_FOREIGN)}
    if allow:
        env = {name: value for name, value in env.items() if _is_allowed(name, (*_NEEDED, *allow))}
    if redact:
        env[LISTED] = ",".join(redact)
    ours = os.path.dirname(sys.executable)
    path = env.get("PATH") or os.defpath
    if ours not in path.split(os.pathsep):
        path = f"{path}{os.pathsep}{ours}"
    return {**env, **extra, "PATH": path}


def _is_allowed(name: str, allow: Sequence[str]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in allow)


def write_private(path: str, text: str) -> None:
    """Write a file that only its owner may read (0600, folders 0700), replacing what was there at once.

    Raises SwarmError if the system refuses (disk full).
    """
    draft = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, path)
    except OSError as error:
        raise SwarmError(f"cannot write {path}: {error.strerror}") from error
