# Says that it is done, and leaves all of it uncommitted.
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
mkdir -p "$SWARM_ISSUE" && echo more > "$SWARM_ISSUE/more.txt"
echo "I am done."
