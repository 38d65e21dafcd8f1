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

# Fifths of a second: how long nothing was heard, and how long that may last while this node leads.
silent=0
limit=
promised=20
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
	if IFS= read -r -N 1 -t 0.2 -u 3 sign; then
		silent=0
		case $sign in
			C) IFS= read -r -t 1 -u 3 line && promised=$((${line#timeout=} * 5)) ;;
			V) limit= ;;
			*) limit=$promised ;;
		esac
	elif [ -n "$limit" ] && [ -z "$stopping" ]; then
		silent=$((silent + 1))
		if [ "$silent" -ge "$limit" ]; then
			echo "guard: no sign of life from Patroni for $((limit / 5)) s: PostgreSQL is ended" >&2
			end_postgres
			kill -KILL "$patroni" 2>/dev/null
			exit 70
		fi
	fi
done
# While the cluster is in maintenance Patroni leaves PostgreSQL running; a stop means both. SIGINT: a fast shutdown.
if postmaster; then
	kill -INT "$pid"
	while postmaster; do sleep 0.05; done
fi
exit "$status"
