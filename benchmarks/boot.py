"""A process that has the board of a log, and ends: `boot.py FOLDER CACHE`. Rule: it imports only what that takes,
so that its time and its memory are those of a boot: a cold one where the cache is empty, else a warm one.

Last it prints its memory at the peak, in kB: what the system tells of a child counts that of its parent too.
"""

import os
import sys

from swarm.eventlog.tail import Tail
from swarm.projections import Board
from swarm.world.checkpoints import Keeper


def fold(folder: str) -> Board:
    """Every line of the log, and nothing kept: what a fold costs by itself."""
    board = Board()
    for batch in Tail(folder).batches():
        board.fold(batch)
    return board


if __name__ == "__main__":
    keeper = Keeper(sys.argv[1], sys.argv[2])
    keeper.read()
    keeper.save()
    keeper.close()
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM:")), flush=True)
    os._exit(0)  # to give the memory back is no part of a boot
