# Leaves children behind, in sessions of their own, some of them without their environment.
setsid sleep 600 > /dev/null 2>&1 < /dev/null &
(setsid sh -c 'trap "" TERM HUP; sleep 600 & wait' &)
(nohup env -i sleep 600 > /dev/null 2>&1 &)
sleep 600 &
echo "$SWARM_ISSUE" > "$SWARM_ISSUE.txt"
keep "the work"
