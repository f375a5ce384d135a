"""The prompt says what is to be done and how to write letters, in plain text."""

from swarm.actors.prompt import compose


def test_it_has_the_task_the_rules_and_the_way_to_write_letters() -> None:
    text = compose("sw-1", "Fix it", "It is broken.", "builder", "builder-2")
    assert text.startswith("# Fix it\n\nIt is broken.\n\n")
    assert "swarm mail send" in text
    assert "Do not push" in text
    assert text.endswith("You are builder-2; the task is sw-1.\n")


def test_a_scout_is_told_to_change_nothing() -> None:
    text = compose("sw-1", "Look", "", "scout", "scout-1")
    assert "change no file" in text
    assert "Do not push" not in text
    assert "\n\n\n" not in text


def test_what_failed_before_is_told_with_the_end_of_its_output() -> None:
    text = compose("sw-1", "Fix it", "", "builder", "builder-1", "the tests fail", "x" * 9000 + "the end")
    assert "This was tried before and failed: the tests fail" in text
    assert "the end" in text
    assert len(text) < 8000


def test_it_names_the_ports_if_there_are_some() -> None:
    assert "20010 to 20019" in compose("sw-1", "Serve", "", "builder", "builder-1", port=20_010)
    assert "port" not in compose("sw-1", "Serve", "", "builder", "builder-1")


def test_escape_sequences_do_not_reach_the_model() -> None:
    text = compose("sw-1", "Fix\x1b[31m it", "a\x1b]0;b\x07c", "builder", "builder-1", "bad\x1b[0m", "\x1b[2J")
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_conflict_that_is_to_be_resolved_is_said_with_its_files() -> None:
    text = compose("sw-1", "Fix it", "", "builder", "builder-1", "does not merge", conflict=["a.py", "b\x1b.py"])
    assert "in a.py, b" in text
    assert "keep what either side meant" in text
    assert "\x1b" not in text
    assert "<<<<<<<" not in compose("sw-1", "Fix it", "", "builder", "builder-1", "does not merge")
