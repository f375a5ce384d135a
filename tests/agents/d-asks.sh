# Asks for a permission, says that it waits for the answer, and does.
echo half > "$SWARM_ISSUE.txt"
keep "half of it"
printf 'Do you want to proceed?\n  1. Yes\n  2. No, and tell me what to do differently\n'
echo "swarm: waiting for input"
mkfifo "$OUTSIDE/answer-$SWARM_SESSION"
read -r answer < "$OUTSIDE/answer-$SWARM_SESSION"
