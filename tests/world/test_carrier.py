"""`swarm sync`: clones that worked apart hold the same events afterwards, and nothing that anybody wrote is lost."""

import os
from pathlib import Path

import pytest

from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import IssueOpened, MailSent, UsageReported
from swarm.eventlog.files import Draft
from swarm.eventlog.segments import sealed_name
from swarm.projections import costs, issues, mail
from swarm.world.door import Door, GitError
from swarm.world.logbranch import chosen

from clones import REF, Hub, hub, plain, same
from history import snapshot

__all__ = ["hub"]


def padding(count: int) -> list[IssueOpened]:
    """So many events of about 1 kB."""
    return [IssueOpened(title=f"{number}", body="x" * 800) for number in range(count)]


# --- two clones -----------------------------------------------------------------------------------


def test_clones_that_worked_apart_converge_and_each_shows_the_others_issues_mail_and_costs(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    one.say(UsageReported("sw-a-1", 1, "m", "runtime", input_tokens=7, cost=0.5), about="sw-a")
    other.issue("sw-b")
    other.say(MailSent(to=["human"], body="hello"), about="", source="agent/kim")
    hub.settle()
    assert same(hub.clones)
    assert len(one.ids()) == 4
    assert snapshot(one.board()) == snapshot(other.board())
    for clone in hub.clones:
        board = clone.board()
        assert {issue.id for issue in board[issues.State].known()} == {"sw-a", "sw-b"}
        assert [letter.sent.data.body for letter in board[mail.State].sent() if letter.sent] == ["hello"]
        assert board[costs.State].total().input_tokens == 7


def test_a_sync_says_how_much_went_and_came(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    done = one.carrier.sync()
    assert (done.remote, done.sent, done.files_sent, done.received) == ("origin", 3, 1, 0)
    assert done.commit == hub.tip()
    other.issue("sw-d")
    done = other.carrier.sync()
    assert (done.sent, done.received, done.files_received) == (1, 3, 1)
    one.issue("sw-e")
    done = one.carrier.sync()
    assert (done.sent, done.received) == (1, 1)


def test_a_sync_with_nothing_new_leaves_everything_as_it_is(hub: Hub) -> None:
    one = hub.clone("one")
    assert one.carrier.sync().commit == hub.tip() == ""
    one.issue("sw-a")
    one.carrier.sync()
    tip, files = hub.tip(), {path.name: path.stat().st_ino for path in one.folder.iterdir()}
    done = one.carrier.sync()
    assert (done.sent, done.received, hub.tip()) == (0, 0, tip)
    assert {path.name: path.stat().st_ino for path in one.folder.iterdir()} == files


def test_a_tail_is_carried_under_the_name_that_it_will_be_sealed_under(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    first = one.issue("sw-a")[0]
    one.carrier.sync()
    name = sealed_name(one.node, first)
    assert one.names() == [".gitattributes", name]
    assert one.git("show", f"{REF}:.gitattributes") == "*.jsonl merge=union"
    other.carrier.sync()
    assert other.files() == [name]
    one.say(*padding(80))
    one.carrier.sync()
    assert (one.folder / name).exists(), "what had 64 KiB was sealed before"
    one.issue("sw-z")
    hub.settle()
    assert same(hub.clones)
    assert len(one.names()) == 3
    assert other.files() == one.names()[1:]


def test_what_a_reader_reads_is_never_written_to(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    file = other.folder / other.files()[0]
    with file.open("rb") as reader:
        before, inode = reader.read(), file.stat().st_ino
        one.issue("sw-b")
        hub.settle()
        assert file.stat().st_ino != inode, "the longer version took its place"
        reader.seek(0)
        assert reader.read() == before


def test_nothing_is_checked_out_and_no_other_branch_is_touched(hub: Hub) -> None:
    one = hub.clone("one")
    one.write({"mine.txt": "mine\n"})
    before = one.git("status", "--porcelain"), one.git("rev-parse", "main"), one.git("stash", "list")
    one.git("tag", "mine")
    one.git("config", "push.followTags", "true")
    one.issue("sw-a")
    hub.settle()
    assert (one.git("status", "--porcelain"), one.git("rev-parse", "main"), one.git("stash", "list")) == before
    assert plain("for-each-ref", "--format=%(refname)", at=hub.bare).split() == ["refs/heads/main", REF]


def test_several_remotes_can_carry_it_and_a_path_is_one(hub: Hub, tmp_path: Path) -> None:
    one = hub.clone("one")
    plain("init", "--quiet", "--bare", "backup.git", at=tmp_path)
    one.issue("sw-a")
    one.carrier.sync()
    address = str(tmp_path / "backup.git")
    done = one.carry(remote=address).sync()
    assert (done.remote, done.sent, done.commit) == (address, 1, hub.tip())
    one.issue("sw-b")
    assert one.carrier.sync().sent == 1
    assert one.carry(remote=address).sync().sent == 1
    assert plain("rev-parse", REF, at=tmp_path / "backup.git") == hub.tip()


# --- a fresh clone --------------------------------------------------------------------------------


def test_a_fresh_clone_takes_over_what_git_has_brought(hub: Hub) -> None:
    one = hub.clone("one")
    one.issue("sw-a", "sw-b")
    one.carrier.sync()
    fresh = hub.clone("fresh")
    hub.bare.rename(hub.bare.with_name("away"))
    done = fresh.carrier.adopt()
    assert (done.remote, done.received) == ("origin", 2)
    assert fresh.ids() == one.ids()
    assert fresh.node != one.node
    hub.bare.with_name("away").rename(hub.bare)
    fresh.issue("sw-c")
    done = fresh.carrier.sync()
    assert (done.sent, done.received) == (1, 0)
    one.carrier.sync()
    assert same(hub.clones)


def test_a_fresh_clone_of_a_remote_without_a_log_takes_over_nothing(hub: Hub) -> None:
    assert hub.clone("fresh").carrier.adopt().received == 0


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_remote_that_cannot_be_reached_loses_nothing_and_the_next_sync_catches_up(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    hub.settle()
    hub.bare.rename(hub.bare.with_name("away"))
    for name in ("sw-a", "sw-b"):
        one.issue(name)
        with pytest.raises(GitError, match="cannot reach origin") as raised:
            one.carrier.sync()
        assert "swarm sync" in raised.value.hint
    assert one.names()[1:] == [sealed_name(one.node, one.ids()[0])], "it was committed all the same"
    hub.bare.with_name("away").rename(hub.bare)
    other.issue("sw-c")
    assert other.carrier.sync().sent == 1
    done = one.carrier.sync()
    assert (done.sent, done.received) == (2, 1)
    other.carrier.sync()
    assert same(hub.clones)


def test_the_first_failure_of_sharing_is_told_and_the_same_one_is_not_told_again(hub: Hub) -> None:
    one = hub.clone("one")
    assert one.carrier.share(()) == ""
    hub.bare.rename(hub.bare.with_name("away"))
    assert "cannot reach origin" in one.carrier.share(())
    assert one.carrier.share(()) == ""
    hub.bare.with_name("away").rename(hub.bare)
    assert one.carrier.share(()) == ""
    hub.bare.rename(hub.bare.with_name("away"))
    assert "cannot reach origin" in one.carrier.share(())


def test_a_remote_that_refuses_says_why(hub: Hub) -> None:
    one = hub.clone("one")
    hook = hub.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no logs here >&2\nexit 1\n")
    hook.chmod(0o755)
    one.issue("sw-a")
    with pytest.raises(GitError, match=r"no logs here.*pre-receive hook declined"):
        one.carrier.sync()


def test_a_push_that_came_too_late_is_made_again(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    hub.settle()
    one.issue("sw-a")
    other.issue("sw-b")
    one.carrier.sync()
    assert other.carrier.sync().sent == 1, "it did not know of the other's push"
    assert plain("rev-list", "--count", "--merges", REF, at=hub.bare) == "0", "what lost the race left no trace"
    one.carrier.sync()
    assert same(hub.clones)


def test_who_never_gets_through_says_so(hub: Hub) -> None:
    """Somebody is always quicker."""
    one, other = hub.clone("one"), hub.clone("other")
    hub.settle()

    class Quicker(Door):
        def pipe(self, *args, **more):  # type: ignore[no-untyped-def]
            if "push" in args:
                other.issue(f"sw-{other.log.append([Draft(MailSent(to=['human'], body='x'), 'human')])[0].id[-8:]}")
                other.carrier.sync()
            return super().pipe(*args, **more)

    one.issue("sw-a")
    carrier = one.carry()
    carrier._door = carrier._branch._door = Quicker(one.place.root, one.place.common)
    with pytest.raises(GitError, match="before us, 20 times"):
        carrier.sync()
    one.carrier.sync()
    other.carrier.sync()
    assert same(hub.clones)


def test_two_syncs_in_one_clone_wait_for_each_other(hub: Hub) -> None:
    import threading

    one = hub.clone("one")
    one.issue("sw-a")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(4):
                one.carry().sync()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        one.issue("sw-b")
    for thread in threads:
        thread.join()
    assert failed == []
    one.carrier.sync()
    assert len(hub.lines()) == 11


def test_a_branch_that_a_person_has_checked_out_stays_where_it_is(hub: Hub, tmp_path: Path) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    one.git("worktree", "add", "--quiet", str(tmp_path / "look"), "swarm-log")
    before = one.git("rev-parse", REF)
    one.issue("sw-b")
    done = one.carrier.sync()
    assert done.sent == 1
    assert hub.tip() == done.commit != before
    assert one.git("rev-parse", REF) == before
    assert one.git("status", "--porcelain", at=tmp_path / "look") == ""
    assert any("checked out" in note and str(tmp_path / "look") in note for note in done.notes)
    other.issue("sw-c")
    hub.settle()
    assert same(hub.clones)
    one.git("worktree", "remove", str(tmp_path / "look"))
    one.carrier.sync()
    assert one.git("rev-parse", REF) == hub.tip()


def test_a_remote_whose_history_was_rolled_back_gets_everything_again(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    old = hub.tip()
    one.issue("sw-b")
    hub.settle()
    plain("update-ref", REF, old, at=hub.bare)
    other.issue("sw-c")
    hub.settle()
    assert same(hub.clones)
    assert len(hub.lines()) == 3
    plain("update-ref", "-d", REF, at=hub.bare)
    one.issue("sw-d")
    hub.settle()
    assert same(hub.clones)
    assert len(hub.lines()) == 4


def test_what_a_person_puts_on_the_branch_stays_there_and_harms_nobody(hub: Hub, tmp_path: Path) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    look = tmp_path / "look"
    one.git("worktree", "add", "--quiet", "--detach", str(look), "swarm-log")
    (look / "folder").mkdir()
    (look / "strange.jsonl").write_text("{}\n")
    (look / os.fsdecode(b"n\xff.txt")).write_text("not UTF-8\n")
    (look / "folder.txt").write_text("sorts before folder/\n")
    os.symlink("README", look / sealed_name("nlink", one.ids()[0]))
    made = one.commit({"README": "what this is\n", "folder/x.jsonl": "{}\n"}, at=look)
    one.git("push", "--quiet", "origin", f"{made}:{REF}", at=look)
    one.issue("sw-b")
    other.issue("sw-c")
    before = plain("ls-tree", "-z", made, at=hub.bare).split("\0")
    hub.settle()
    assert {event.type for event in one.events()} == {"issue.opened", "event.refused"}
    kept = [entry for entry in before if ".jsonl" not in entry or "strange" in entry or "nlink" in entry]
    assert len(kept) == 8
    assert set(kept) <= set(plain("ls-tree", "-z", REF, at=hub.bare).split("\0"))
    plain("fsck", "--strict", at=hub.bare)
    hub.settle()
    assert same(hub.clones)


# --- which remote ---------------------------------------------------------------------------------


def test_the_remote_is_the_given_one_the_one_in_the_settings_the_only_one_or_origin(hub: Hub) -> None:
    one = hub.clone("one")
    door = Door(one.place.root, one.place.common)
    assert chosen(door, "") == "origin"
    one.git("remote", "rename", "origin", "github")
    assert chosen(door, "") == "github"
    one.git("remote", "add", "other", "nowhere")
    with pytest.raises(UsageError, match="no one remote"):
        chosen(door, "")
    assert chosen(door, "", "other") == "other"
    assert chosen(door, "github", "other") == "github"
    one.git("remote", "add", "origin", "nowhere")
    assert chosen(door, "") == "origin"
    assert chosen(door, "../elsewhere.git") == "../elsewhere.git"
    with pytest.raises(UsageError, match="no remote 'nobody'") as raised:
        chosen(door, "nobody")
    assert "origin" in raised.value.hint
    with pytest.raises(UsageError, match="not a remote"):
        chosen(door, "--upload-pack=/bin/sh")
    for name in ("github", "other", "origin"):
        one.git("remote", "remove", name)
    with pytest.raises(UsageError, match="has no remote"):
        chosen(door, "")
