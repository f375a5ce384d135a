"""Ten ports for a worktree: nobody listens on them, nobody else has them. What holds for the machine holds for its
double.
"""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarm.world.gauge import Machine
from swarm.world.ports import Ports

from doubles import MemoryGauge

Ask = Callable[..., int]
HOSTS = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")]
if os.path.exists("/proc/net/if_inet6"):
    HOSTS.append((socket.AF_INET6, "::1"))


@pytest.fixture(params=["double", "real"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return MemoryGauge().ports if request.param == "double" else Machine("/").ports


def test_a_block_is_ten_ports_from_twenty_thousand_up(ask: Ask) -> None:
    block = ask([])
    assert block >= 20_000
    assert block % 10 == 0


def test_what_is_taken_is_not_given(ask: Ask) -> None:
    taken = [20_000, 20_010, 20_030]
    assert ask(taken) not in taken


def test_nobody_gets_what_another_was_given_a_moment_ago(ask: Ask) -> None:
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(ask, [()] * 8))
    assert len(set(given)) == 8


@pytest.mark.parametrize("offset", [0, 9])
@pytest.mark.parametrize(("family", "host"), HOSTS)
def test_where_somebody_listens_is_not_given(family: socket.AddressFamily, host: str, offset: int) -> None:
    blocks = Machine("/")
    with socket.socket(family) as server:
        block = next(block for block in iter(lambda: blocks.ports([]), 0) if bound(server, host, block + offset))
        server.listen()
        assert Machine("/").ports(range(20_000, block, 10)) > block


def bound(server: socket.socket, host: str, port: int) -> bool:
    """Whether it is: others on this machine may have taken the port meanwhile."""
    try:
        server.bind((host, port))
    except OSError:
        return False
    return True


def test_the_double_does_not_give_where_somebody_listens_either() -> None:
    assert [MemoryGauge(listening=[port]).ports([]) for port in (19_999, 20_000, 20_009, 20_010)] == [
        *(20_000, 20_010, 20_010, 20_000),
    ]


def test_where_a_connection_has_just_ended_is_given() -> None:
    block = Machine("/").ports([])
    with socket.create_server(("127.0.0.1", block)) as server:
        client = socket.create_connection(("127.0.0.1", block))
        served, _ = server.accept()
        served.close()  # first: so that this side waits
        client.close()
    assert Machine("/").ports([]) == block


def test_they_are_below_those_that_the_kernel_gives_away() -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low = int(file.read().split()[0])
    every = list(range(20_000, max(low, 32_768), 10))
    assert Machine("/").ports(every) == 0
    assert Machine("/").ports([block for block in every if block != 20_050]) == 20_050


def test_what_was_given_long_ago_and_is_not_taken_is_given_again() -> None:
    now = 1000.0
    ports = Ports(lambda: now)
    block = ports.free_block([])
    assert ports.free_block([]) != block
    now += 601
    assert ports.free_block([]) == block
