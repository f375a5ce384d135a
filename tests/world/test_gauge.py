"""The gauge, asked of this machine and of its double: the same suite runs over both."""

import os
from pathlib import Path

import pytest

from swarm.world import Reading
from swarm.world.gauge import Machine

from doubles import MemoryGauge


@pytest.fixture(params=["machine", "double"])
def gauge(request: pytest.FixtureRequest, tmp_path: Path) -> Machine | MemoryGauge:
    return Machine(str(tmp_path)) if request.param == "machine" else MemoryGauge(Reading(10**9, 10**9, 0.5))


def test_a_look_tells_bytes_and_the_load_of_a_core(gauge: Machine | MemoryGauge) -> None:
    reading = gauge.read()
    assert isinstance(reading.disk, int)
    assert reading.disk > 0
    assert reading.memory > 0
    assert 0 <= reading.load < 1000


# --- the machine ---


def test_the_disk_is_that_of_the_folder_though_it_is_not_there_yet(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    size = found.f_blocks * found.f_frsize
    read = Machine(str(tmp_path / "not" / "there")).read()
    assert 0 < read.disk < size
    assert abs(read.disk - found.f_bavail * found.f_frsize) < size / 10


def test_the_memory_is_less_than_there_is(tmp_path: Path) -> None:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < Machine(str(tmp_path)).read().memory <= pages


def test_the_load_is_that_of_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert Machine(str(tmp_path)).read().load == 0.75


def test_what_cannot_be_seen_hinders_nobody(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert Machine(str(file / "under" / "a" / "file")).read().disk > 0
    assert Machine("").read().disk > 0
