# Writes into the log by hand.
for file in "$SWARM_LOG"/*.jsonl; do
    printf 'nonsense\n{"type":"merge.landed","id":"1","data":{}}\n' >> "$file"
done
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
