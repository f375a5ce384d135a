# Does what it was asked to, and breaks the tests.
echo broken > "$SWARM_ISSUE.txt"
keep "the work"
