"""The ways to tell somebody outside: a program of the user's, a Slack webhook, a shell command. Rule: none of them is
waited for longer than `SECONDS`, and the webhook's address, which is a secret, stands in no error.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

from ..eventlog.errors import UsageError
from ..eventlog.text import head, plain

HOOK, SLACK = "SWARM_ALERT_HOOK", "SWARM_SLACK_WEBHOOK_URL"
SECONDS = 5.0


class Channels:
    """Satisfies the Protocol `Alerts`. What is empty is no channel. `hook`: a program; `slack`: an address; `command`:
    for the shell, with the kind as `$1` and the text as `$2`. `env`: what programs see of our environment.
    """

    def __init__(self, hook: str, slack: str, command: str, env: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._ways = {"hook": hook, "slack": slack, "command": command}
        self._env = {name: value for name, value in env.items() if name != SLACK}
        self._seconds = seconds

    @property
    def names(self) -> list[str]:
        """The channels there are."""
        return [name for name, way in self._ways.items() if way]

    def send(self, channel: str, kind: str, text: str, about: str) -> str:
        """Give the alert to that channel; returns why it was not taken, in words, or nothing."""
        way = self._ways.get(channel, "")
        if not way:
            return f"there is no channel {channel!r} any more"
        if channel == "slack":
            return self._post(way, f"{kind}: {text}")
        argv = [way, kind, text] if channel == "hook" else ["/bin/sh", "-c", way, "swarm-alert", kind, text]
        return self._run(argv, {"SWARM_ALERT_KIND": kind, "SWARM_ALERT_TEXT": text, "SWARM_ALERT_ABOUT": about})

    def _run(self, argv: Sequence[str], words: Mapping[str, str]) -> str:
        """Only its exit code counts. What it began itself, and left in its group, ends with it if it takes too long."""
        quiet = subprocess.DEVNULL
        try:
            program = subprocess.Popen(
                [part.replace("\0", " ") for part in argv],
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                env={**self._env, **{name: text.replace("\0", " ") for name, text in words.items()}},
                start_new_session=True,
            )
        except OSError as error:
            return f"{argv[0]} cannot be run: {error.strerror}"
        try:
            code = program.wait(self._seconds)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            return f"{argv[0]} did not end within {self._seconds:g} s"
        return f"{argv[0]} ended with {code}" if code else ""

    def _post(self, address: str, text: str) -> str:
        """In a thread that is left alone if it takes too long: neither the look-up of a name nor a server that sends a
        byte now and then can be bounded otherwise.
        """
        answer: list[str] = []
        poster = threading.Thread(
            target=lambda: answer.append(_posted(address, text, self._seconds)), name="slack", daemon=True
        )
        poster.start()
        poster.join(self._seconds)
        return answer[0] if answer else f"Slack did not answer within {self._seconds:g} s"


def _posted(address: str, text: str, seconds: float) -> str:
    """Errors are told by their names alone: their words may hold the address."""
    import httpx  # a seventh of a second: paid only where there is somebody to tell

    for sign, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # else `<!channel>` in a title would call all
        text = text.replace(sign, escape)
    try:
        answer = httpx.post(address, json={"text": plain(text)}, timeout=seconds)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return f"Slack cannot be reached ({type(error).__name__})"
    return "" if answer.is_success else f"Slack answered with status {answer.status_code}"


def configured(env: Mapping[str, str], command: str) -> Channels | None:
    """The channels that the environment and the settings name, None if there are none; raises UsageError where one
    cannot work.
    """
    hook, slack = env.get(HOOK, "").strip(), env.get(SLACK, "").strip()
    if hook and shutil.which(hook, path=env.get("PATH")) is None:
        raise UsageError(f"{HOOK} names {head(hook, 200)!r}, which is no program that can be run", f"unset {HOOK}")
    if slack and not slack.startswith(("https://", "http://")):
        raise UsageError(f"{SLACK} is no http:// or https:// address", f"unset {SLACK}")
    found = Channels(hook, slack, command, env)
    return found if found.names else None
