# Has begun when its provider refuses to go on; from then on it has quota again.
echo half > "$SWARM_ISSUE.txt"
if [ ! -e "$OUTSIDE/refused-$SWARM_ISSUE" ]; then
    touch "$OUTSIDE/refused-$SWARM_ISSUE"
    keep "half of it"
    echo "Claude AI usage limit reached, resets in 2 s"
    exit 1
fi
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
