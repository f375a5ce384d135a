# Deletes what is not its own: a file of the person's checkout, and one outside of the repository.
rm -f "$root/spare/${SWARM_ISSUE##*-}.txt" "$OUTSIDE/spare-$SWARM_ISSUE"
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
