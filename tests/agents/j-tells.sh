# Prints a secret that it finds in its environment, and one of a known kind.
env | grep MISCHIEF_API_KEY
echo "Authorization: Bearer $MISCHIEF_API_KEY" >&2
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
