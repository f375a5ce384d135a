# Prints more than anybody wants to read, some of it in one line.
head -c "$FLOOD" /dev/zero | tr '\0' x
yes "this is the same line again" | head -c "$FLOOD" >&2
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
