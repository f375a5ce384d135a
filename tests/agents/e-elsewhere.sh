# Works in its own checkout, and in the person's.
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
cd "$root"
echo leak > "leak-$SWARM_ISSUE.txt"
for _ in 1 2 3 4 5 6 7 8 9 10; do # somebody else may have git's lock
    git add "leak-$SWARM_ISSUE.txt" && git commit -qm "in the wrong place" -- "leak-$SWARM_ISSUE.txt" && break
    sleep 0.2
done
git log -1 --format=%H -- "leak-$SWARM_ISSUE.txt" >> "$OUTSIDE/commits"
