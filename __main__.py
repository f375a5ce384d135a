"""Where `swarm` begins. Rule: what agents call at every step is tried first, before anything that takes time is
imported.
"""

import gc
import os
import sys

from .eventlog import lane


def main() -> None:
    """Take the fast lane, or else the whole command line; exits."""
    args = sys.argv[1:]
    try:
        code = lane.take(args, os.environ)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told as those of every other command are
        from .cli import failed

        sys.exit(failed(error, args))
    if code is not None:
        os._exit(code)  # all is written and flushed; Python's own way out takes longer than the letter

    gc.set_threshold(50_000)  # or Python looks for garbage at every few hundred things that it imports
    from . import cli

    cli.main(args)


if __name__ == "__main__":
    main()
