# Does not end when it is asked to.
trap '' TERM INT HUP QUIT
echo half > "$SWARM_ISSUE.txt"
keep "half of it"
while :; do sleep 1; done
