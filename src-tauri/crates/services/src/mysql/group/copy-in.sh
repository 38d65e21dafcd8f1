# Makes a data folder of a copy: first it is laid, then, in a call of its own, it is made what a server leaves that was stopped.
set -u -o pipefail
umask 077
what=$1 folder=$2 client=$4
cd "$folder" || exit 1

# See `copy-out.sh`.
files() {
    while read -r size path; do
        case $size in end) return 0 ;; esac
        case $path in '' | /* | *..*) break ;; esac
        if [ "$size" = - ]; then
            mkdir -p "data/$path" || return 1
            continue
        fi
        { mkdir -p "$(dirname "data/$path")" && head -c "$size" >"data/$path"; } || return 1
        # Shorter where the input has ended.
        [ "$(stat -c %s "data/$path")" = "$size" ] || break
    done
    echo 'it is no whole copy of such a server' >&2
    return 1
}

lay() {
    mkdir data || return 1
    head -c "$1" | files
}

# Starts a server that nobody can reach, with what is given.
serve() {
    "$server" --no-defaults --datadir="$folder/data" --tmpdir="$folder/tmp" --skip-networking --mysqlx=OFF \
        --pid-file="$folder/server.pid" --auto-generate-certs=OFF --caching-sha2-password-auto-generate-rsa-keys=OFF \
        --gtid-mode=ON --enforce-gtid-consistency=ON --skip-replica-start --event-scheduler=OFF \
        --innodb-buffer-pool-size=64M --log-error-verbosity=2 "$@" &
}

ask() { "$client" --defaults-file="$folder/replay.cnf" "$@"; }

# A column of what the server said of its replaying.
of() { sed -n "s/^ *$1: *//p" <<<"$status"; }

# Replays the log that was laid as what a replica has received: a transaction that the copy or an earlier piece has is left out by
# its id. The socket lies in the folder that the server works in, so that its path is short.
replay() {
    local laid=$folder/../../log.laid piece file='' n=0 stop status
    {
        read -r stop
        while read -r piece; do
            n=$((n + 1))
            file=$laid/replay-moment.$(printf '%06d' $n)
            ln -f "$laid/$piece" "$file" || return 1
            echo "$file" >&3
        done
    } <"$folder/../../log.until" 3>"$laid/replay-moment.index"
    [ -n "$file" ] || return 0
    [ "$stop" = end ] && stop=$(stat -c %s "$file")
    # Its own number is nobody's in the log: what a server wrote itself it would leave out.
    serve --socket=../replay.sock --init-file="$folder/replay.sql" --skip-log-bin --server-id=4294967295 \
        --relay-log="$laid/replay" --relay-log-purge=OFF --innodb-flush-log-at-trx-commit=0 >replay.log 2>&1
    local pid=$!
    trap "kill $pid 2>/dev/null" EXIT
    for _ in $(seq 300); do
        ask --execute='SELECT 1' >replayed.log 2>&1 && break
        kill -0 $pid 2>/dev/null || { grep '\[ERROR\]' replay.log | tail -n 3 | sed "s/'[^']*'/'…'/g" >&2; return 1; }
        sleep 0.2
    done
    ask --execute="CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'log', RELAY_LOG_FILE = 'replay-moment.000001', RELAY_LOG_POS = 4
        FOR CHANNEL 'moment'; START REPLICA SQL_THREAD UNTIL RELAY_LOG_FILE = '${file##*/}', RELAY_LOG_POS = $stop
        FOR CHANNEL 'moment'" >replayed.log 2>&1 || { tail -n 2 replayed.log | sed "s/'[^']*'/'…'/g" >&2; return 1; }
    while status=$(ask --vertical --execute="SHOW REPLICA STATUS FOR CHANNEL 'moment'") && [ "$(of Replica_SQL_Running)" = Yes ]; do
        sleep 0.1
    done
    # Whatever it stopped for: nothing less than all of it counts.
    if [ "$(of Relay_Log_File)" != "${file##*/}" ] || [ "$(of Relay_Log_Pos)" -lt "$stop" ] || [ "$(of Last_SQL_Errno)" != 0 ]; then
        echo "the log could not be replayed to its end: $(of Last_SQL_Error)" | sed "s/'[^']*'/'…'/g" >&2
        return 1
    fi
    { cat replayed.sql; echo 'SHUTDOWN;'; } | ask >replayed.log 2>&1 || { tail -n 2 replayed.log >&2; return 1; }
    wait $pid
    trap - EXIT
}

# Started for a moment: it ends by the last statement of its file. With one that fails before that it goes on running. (Errors in
# its log are no sign: in containers it complains of what it then does without.)
prepare() {
    server=$1
    mkdir -p tmp
    if [ -s replay.sql ]; then
        replay || return 1
    fi
    serve --socket=../s.sock --server-id=1 --log-bin=binlog --relay-log=relay --init-file="$folder/accounts.sql" >server.log 2>&1
    local pid=$! ended=
    while kill -0 $pid 2>/dev/null; do
        if grep -q 'ready for connections' server.log && ! grep -q 'Received SHUTDOWN' server.log; then
            ended=yes
            kill $pid 2>/dev/null
        fi
        sleep 0.1
    done
    if wait $pid && [ -z "$ended" ] && grep -q 'Received SHUTDOWN' server.log; then
        return 0
    fi
    # What it quotes may be a password.
    { grep '\[ERROR\]' server.log || cat server.log; } | tail -n 3 | sed "s/'[^']*'/'…'/g" >&2
    return 1
}

"$what" "$3"
