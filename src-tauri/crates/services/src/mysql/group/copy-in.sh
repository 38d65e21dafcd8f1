# Makes a data folder of a copy: first it is laid, then, in a call of its own, it is made what a server leaves that was stopped.
set -u -o pipefail
umask 077
what=$1 folder=$2
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

# Started for a moment: nobody can reach it, and it ends by the last statement of its file. With one that fails before that it
# goes on running. (Errors in its log are no sign: in containers it complains of what it then does without.)
prepare() {
    mkdir -p tmp
    "$1" --no-defaults --datadir="$folder/data" --tmpdir="$folder/tmp" --skip-networking --mysqlx=OFF --socket=../s.sock \
        --pid-file="$folder/server.pid" --auto-generate-certs=OFF --caching-sha2-password-auto-generate-rsa-keys=OFF \
        --server-id=1 --log-bin=binlog --relay-log=relay --gtid-mode=ON --enforce-gtid-consistency=ON --skip-replica-start \
        --innodb-buffer-pool-size=64M --log-error-verbosity=2 --init-file="$folder/accounts.sql" >server.log 2>&1 &
    server=$! ended=
    while kill -0 $server 2>/dev/null; do
        if grep -q 'ready for connections' server.log && ! grep -q 'Received SHUTDOWN' server.log; then
            ended=yes
            kill $server 2>/dev/null
        fi
        sleep 0.1
    done
    if wait $server && [ -z "$ended" ] && grep -q 'Received SHUTDOWN' server.log; then
        return 0
    fi
    # What it quotes may be a password.
    { grep '\[ERROR\]' server.log || cat server.log; } | tail -n 3 | sed "s/'[^']*'/'…'/g" >&2
    return 1
}

"$what" "$3"
