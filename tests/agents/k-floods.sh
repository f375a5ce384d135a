# Prints more than anybody wants to read, some of it in one line.
echo half > "$SWARM_ISSUE.txt"
keep "half of it"
head -c 10M /dev/zero | tr '\0' x >&2
yes "this is the same line again" | head -c "$FLOOD"
