# Writes to somebody who does not exist, and is told so.
code=0
swarm mail send --to no-such-agent --body "Who are you?" || code=$?
echo "$code" > "$OUTSIDE/mailed-$SWARM_SESSION"
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
