# Does half of it, and then nothing, for ever and in silence.
echo half > "$SWARM_ISSUE.txt"
keep "half of it"
echo other > "$SWARM_ISSUE.other.txt"
exec sleep 600
