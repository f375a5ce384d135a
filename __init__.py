"""swarm: a team of coding agents on one git repository.

General layout (an arrow may only point downwards; `.importlinter` checks it):

    cli          finds command files by name, turns errors into words and exit codes
    commands     words in, words out: one file per noun or verb
    actors       what is due, and doing it: the only users of the world
    world        git, processes, settings, the LLM proxy, the clock: all I/O except the log's own
    mailbox      who a letter reaches, and how it reads (pure)
    runtimes     one file per coding agent: how to start it and read its output (pure)
    projections  folds of the log, and decisions on them (pure)
    eventlog     the facts, the lines, the files, the watcher
"""

__version__ = "0.1.0"
