# Has begun when its provider refuses to go on.
echo half > "$SWARM_ISSUE.txt"
keep "half of it"
echo "Claude AI usage limit reached|4102444800"
echo "You've hit your usage limit. Try again in 3 hours 25 minutes." >&2
exit 1
