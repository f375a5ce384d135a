"""What the system itself refuses (a full disk, a read-only one, no descriptors) comes out of a deed in words."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from .door import FREE_SPACE, GitError

_MENDED_BY = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EROFS: "mount it writable and run it again",
}


@contextmanager
def in_words() -> Iterator[None]:
    """Raises GitError for an OSError, wherever in the deed it was."""
    try:
        yield
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        hint = _MENDED_BY.get(error.errno or 0) or (f"ls -ld {shlex.quote(where)}" if where else "swarm doctor")
        raise GitError(f"{words}: {where}" if where else words, hint=hint) from error
