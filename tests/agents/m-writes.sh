# Writes into the person's checkout what it has written into its own.
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
cp "$SWARM_ISSUE.txt" "$root/$SWARM_ISSUE.txt"
