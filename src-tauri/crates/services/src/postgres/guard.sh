# Runs Patroni and sees that PostgreSQL never takes writes without it. Arguments: a pipe, the data folder, Patroni's program, a
# script to run in its place, its configuration.
#
# While its node leads, Patroni writes a sign of life into the pipe each second (its interface to a watchdog), and says how long
# its silence may last. When it hangs, the cluster elects another leader after the time to live: PostgreSQL here ends before
# that, so that two nodes never take writes. When it was killed it is started again at once and finds PostgreSQL running.
set -u
pipe=$1 data=$2 program=$3 launch=$4 conf=$5
# Patroni need not be the system's: its program names the Python that has it.
read -r python < "$program"
python=${python#'#!'}
rm -f "$pipe"
mkfifo -m 600 "$pipe"
exec 3<>"$pipe"

# After a restart of the computer the number in the file may be somebody else's: a postmaster works in its data folder.
postmaster() {
	{ read -r pid < "$data/postmaster.pid"; } 2>/dev/null && kill -0 "$pid" 2>/dev/null || return 1
	[ ! -d /proc/self ] || [ "/proc/$pid/cwd" -ef "$data" ]
}
end_postgres() {
	# Its backends notice that it is gone and end too.
	if postmaster; then kill -KILL "$pid"; fi
}

run() {
	$python "$launch" "$conf" 3>&- &
	patroni=$!
	began=$SECONDS
}
run
stopping=
trap 'stopping=1; kill -TERM "$patroni" 2>/dev/null' TERM INT

# Hundredths of a second since the computer started, the time it slept included. A clock that is set does not move it.
now() {
	if [ -r /proc/uptime ]; then
		read -r uptime _ < /proc/uptime
		now=$((10#${uptime/./}))
	else
		now=$((SECONDS * 100))
	fi
}

# When it was last heard of, and how long its silence may last while this node leads.
now
heard=$now
limit=
promised=400
while :; do
	if ! kill -0 "$patroni" 2>/dev/null; then
		wait "$patroni"
		status=$?
		[ -n "$stopping" ] && break
		echo "guard: Patroni has ended by itself (status $status)" >&2
		# One that ends as soon as it has begun would end again.
		if [ $((SECONDS - began)) -lt 5 ]; then
			end_postgres
			exit "$status"
		fi
		run
	fi
	sign=
	IFS= read -r -N 1 -t 0.2 -u 3 sign
	now
	# Before a sign counts: whoever slept for too long, the guard with all others, wakes beside another leader.
	if [ -n "$limit" ] && [ -z "$stopping" ] && [ $((now - heard)) -ge "$limit" ]; then
		end_postgres
		echo "guard: no sign of life from Patroni for $(((now - heard) / 100)) s: PostgreSQL is ended" >&2
		kill -KILL "$patroni" 2>/dev/null
		exit 70
	fi
	[ -z "$sign" ] || heard=$now
	case $sign in
		'') ;;
		C) IFS= read -r -t 1 -u 3 line && promised=$((${line#timeout=} * 100)) ;;
		V) limit= ;;
		*) limit=$promised ;;
	esac
done
# While the cluster is in maintenance Patroni leaves PostgreSQL running; a stop means both. SIGINT: a fast shutdown.
if postmaster; then
	kill -INT "$pid"
	while postmaster; do sleep 0.05; done
fi
exit "$status"
