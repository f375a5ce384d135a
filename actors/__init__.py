"""What is due, and doing it. Five actors; each is one file with two functions:

    due(board, now) -> [Command]           pure: looks at the state, never at the event that woke it
    perform(command, hands) -> [Said]      the only effects; `hands` are the Protocols of `world/`

Rules. Because `due` looks at the state, a restart, a duplicate, a lost or a late notification all converge to the
same work. `perform` happens at least once, so every hand is idempotent. A `Decide` command has no effect but its
fact: the ledger asks `due` again under the log's lock and appends the fact only if it is still due. `shell.py` alone
knows Pykka; `system.py` alone wires the real hands. No model is called to supervise: the actors are code and cost no
tokens.
"""
