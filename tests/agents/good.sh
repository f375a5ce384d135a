# Does what it was asked to: two commits, one of them made by the orchestrator.
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
echo more >> "$SWARM_ISSUE.txt"
