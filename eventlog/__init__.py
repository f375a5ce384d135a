"""The log: what a fact is, how a line looks, where the files lie, and what wakes a reader.

Rule of the room: it imports no other room. The log's files are read and written through the port `disk`: here, in
`world/`, which carries and remembers them, and by the commands that show lines. `place` finds them, `watcher` has the
kernel tell of them, and `lane` does it all by itself for an agent's plain letters. The vocabulary, the ids, the lines
and the names are pure: `.importlinter` lists these files, and is checked.
"""
