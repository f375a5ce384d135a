"""What may lie in the log's folder and is no file of the log, though its name ends as theirs do."""

import os
import socket
from pathlib import Path


def put(folder: str) -> list[str]:
    """Put one of each kind there. Returns the names."""
    Path(folder, "link-to-nothing.jsonl").symlink_to(os.path.join(folder, "nothing"))
    Path(folder, "link-to-itself.jsonl").symlink_to("link-to-itself.jsonl")
    Path(folder, "folder.jsonl").mkdir()
    os.mkfifo(os.path.join(folder, "fifo.jsonl"))
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(folder, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{here}/socket.jsonl")  # its path may be too long for a socket
        finally:
            os.close(here)
    return sorted(name for name in os.listdir(folder) if name.startswith(("link-to", "folder", "fifo", "socket")))
