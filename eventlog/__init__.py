"""The log: what a fact is, how a line looks, where the files lie, and what wakes a reader.

Rule of the room: it imports no other room. The log's files are read and written through the port `disk`, here and by
nobody else but `world/`, which carries and remembers them; `place` finds them, `watcher` has the kernel tell of them,
and `lane` does both for an agent's plain letters. The vocabulary, the ids, the lines and the names are pure: which
files these are stands in `.importlinter`, and is checked.
"""
