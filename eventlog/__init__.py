"""The log: what a fact is, how a line looks, where the files lie, and what wakes a reader.

Rule of the room: it imports no other room. `events`, `ids` and `lines` are pure; `place`, `files`, `tail` and `watcher`
do the log's own I/O, `lane` does that of an agent's plain letters, and nothing else does.
"""
