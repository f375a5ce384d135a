"""A person's checkout, looked at. Rule: nothing is written there, not even git's index, and nothing in it is run."""

from hashlib import blake2b

from . import Checkout
from .door import Door, failed, named


def checkout(door: Door) -> Checkout:
    """See `Repository.checkout`. Of a submodule only its commit counts: its status would go by settings of its own."""
    how = ["--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty", "--no-renames"]
    answer = door.ask("--no-optional-locks", "status", *how)
    if answer.code:
        raise failed("status", answer)
    return Checkout(
        head=door.commit("HEAD"),
        branch=door.branch().removeprefix("refs/heads/"),
        state=blake2b(answer.out.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest(),
        files=named([entry[3:] for entry in answer.out.split("\0")[:-1]]),
    )
