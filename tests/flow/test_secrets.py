"""Pain 28: what an agent or a test prints, or writes into a letter, is in the log without its secrets, and nowhere else
with them.
"""

from pathlib import Path

import pytest

from stage import Stage

PASSWORD = "correct-horse-battery"
TOKEN = "ghp_" + "a1B2" * 9
PRINTED = f"""
echo "the password is $DB_PASSWORD"; echo "$DB_PASSWORD" | base64 >&2
printf 'ghp_%s\\n' "{TOKEN[4:]}"; printf '\\033[31mghp_%s\\033[0m' "{TOKEN[4:]}" >&2
printf '%s' "$DB_PASSWORD" | (dd bs=9 count=1 2>/dev/null; sleep 0.2; cat)
"""


def kept(stage: Stage) -> dict[str, bytes]:
    """All that the swarm has written."""
    return {str(path): path.read_bytes() for path in stage.log.parent.rglob("*") if path.is_file()}


def holding(stage: Stage, secret: str) -> list[str]:
    return [path for path, content in kept(stage).items() if secret.encode() in content]


@pytest.mark.parametrize("code", [0, 3])
def test_an_agent_that_prints_a_key_leaves_nothing_of_it(stage: Stage, code: int) -> None:
    """Misbehaving agent (j)."""
    body = f"{PRINTED}\necho b > b.txt; exit {code}"
    issue = stage.issue("Print the key", body)
    stage.start("--max-retries", "0", DB_PASSWORD=PASSWORD)
    run = stage.log.parent / "runs" / f"{issue}-1"
    assert (run / "stdout.log").read_bytes().count(b"[redacted:DB_PASSWORD]") == 2
    assert (run / "stdout.log").read_bytes().count(b"[redacted:github-token]") == 1
    assert b"[redacted:DB_PASSWORD]" in (run / "stderr.log").read_bytes()
    assert b"[redacted:github-token]" in (run / "stderr.log").read_bytes()
    (end,) = stage.events("session.exited")
    assert "[redacted:DB_PASSWORD]" in end.data.tail
    assert "[redacted:github-token]" in end.data.report
    for secret in (PASSWORD, TOKEN, PASSWORD[4:], "Y29ycmVjdC1ob3JzZS1i"):
        assert not holding(stage, secret)


def test_a_test_that_prints_a_key_leaves_nothing_of_it(stage: Stage) -> None:
    stage.issue("Write b", "echo b > b.txt")
    stage.start("--max-retries", "0", "--test", 'echo "$DB_PASSWORD"; exit 1', DB_PASSWORD=PASSWORD)
    assert "[redacted:DB_PASSWORD]" in stage.events("gate.finished")[0].data.output
    assert "[redacted:DB_PASSWORD]" in stage.events("work.rejected")[0].data.detail
    assert not holding(stage, PASSWORD)


def test_letters_and_issues_of_agents_hold_no_secret_and_those_of_a_person_are_the_persons(stage: Stage) -> None:
    body = """
swarm mail send --to human --body "it is $DB_PASSWORD, isn't it?"
swarm mail send --to human --body "all is well"
swarm issue create "Look at $DB_PASSWORD" --body "echo $DB_PASSWORD" --role scout > id
rm id; echo b > b.txt
"""
    stage.issue("Tell everybody", body)
    stage.start("--max-agents", "1", DB_PASSWORD=PASSWORD)
    assert [e.data.body for e in stage.events("mail.sent") if e.source.startswith("agent/")] == [
        "it is [redacted:DB_PASSWORD], isn't it?",
        "all is well",
    ]
    assert stage.events("issue.opened")[1].data.title == "Look at [redacted:DB_PASSWORD]"
    assert not holding(stage, PASSWORD)
    stage.swarm("mail", "send", "--to", "human", "--body", f"remember {PASSWORD}", DB_PASSWORD=PASSWORD)
    assert stage.events("mail.sent")[-1].data.body == f"remember {PASSWORD}"


def test_variables_that_are_named_in_the_settings_are_secret_and_others_are_not_passed_on(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text('[environment]\nallow = ["MY_*"]\nredact = ["MY_HOST"]\n')
    issue = stage.issue("Look around", 'echo "$MY_HOST $MY_NAME $DB_PASSWORD."; env > env.txt; echo "$HOME" > home')
    done = stage.start(MY_HOST="db.internal.example", MY_NAME="somebody", DB_PASSWORD=PASSWORD, LC_ALL="C.UTF-8")
    assert done.code == 0, done.out
    run = stage.log.parent / "runs" / f"{issue}-1"
    assert (run / "stdout.log").read_text() == "[redacted:MY_HOST] somebody .\n"
    found = (stage.root / "env.txt").read_text()
    names = {line.partition("=")[0] for line in found.splitlines()}
    assert {"PATH", "HOME", "LC_ALL", "MY_HOST", "MY_NAME", "SWARM_AGENT", "SWARM_LOG"} <= names
    assert "DB_PASSWORD" not in names
    assert Path((stage.root / "home").read_text().strip()).is_dir()
