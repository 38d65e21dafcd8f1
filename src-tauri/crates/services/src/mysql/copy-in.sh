# Makes a data folder of a copy: first it is laid, then, in a call of its own, it is made what a server leaves that was stopped.
set -u -o pipefail
umask 077
what=$1 folder=$2 server=$3
PATH=$(dirname "$server"):$(dirname "$server")/../bin:$PATH
cd "$folder" || exit 1

# A file that a copy brings about itself: from 11.1 on they have another name.
about() {
    for file in "data/mariadb_backup_$1" "data/xtrabackup_$1"; do
        [ ! -s "$file" ] || { echo "$file"; return; }
    done
}

lay() {
    mkdir data || return 1
    # The file about it is written last: without it the stream was cut short.
    if ! head -c "$1" | mbstream -x -C data 2>lay.log || [ -z "$(about info)" ]; then
        grep -i 'no space left' lay.log >&2
        echo 'it is no whole copy of such a server' >&2
        return 1
    fi
}

# Says what a file holds to a server that nobody can reach. What it quotes of that may be a password's hash.
told() {
    "$server" --no-defaults --bootstrap --datadir="$folder/data" --tmpdir="$folder/tmp" --innodb-log-file-size="$redo" \
        <"$1" >accounts.log 2>&1 || { tail -n 4 accounts.log | sed "s/'[^']*'/'…'/g" >&2; return 1; }
}

# Replays the log that was laid, file by file, each from the transaction that the one before it ended with. The server works in
# the folder, so that the path of its socket is short.
replay() {
    laid=$folder/../../log.laid
    "$server" --no-defaults --datadir="$folder/data" --tmpdir="$folder/tmp" --socket="../replay.sock" --pid-file="../replay.pid" \
        --skip-networking --skip-slave-start --event-scheduler=OFF --innodb-log-file-size="$redo" --max-allowed-packet=1G \
        --innodb-flush-log-at-trx-commit=0 --skip-log-bin --log-error="$folder/replay.log" &
    trap 'kill "$(cat replay.pid 2>/dev/null)" 2>/dev/null' EXIT
    for _ in $(seq 300); do
        mariadb-admin --defaults-file=replay.cnf ping >/dev/null 2>&1 && break
        sleep 0.2
    done
    {
        read -r stop
        while read -r from file; do
            TZ=UTC mariadb-binlog --start-position="$from" --stop-datetime="$stop" "$laid/$file" </dev/null 2>binlog.log |
                mariadb --defaults-file=replay.cnf --binary-mode >replayed.log 2>&1 ||
                { { grep -i error binlog.log; tail -n 2 replayed.log; } | sed "s/'[^']*'/'…'/g" >&2; return 1; }
        done
    } <"$folder/../../log.until" || return 1
    mariadb-admin --defaults-file=replay.cnf shutdown >/dev/null 2>&1
    wait
    trap - EXIT
}

prepare() {
    mkdir -p tmp
    mariadb-backup --prepare --tmpdir="$folder/tmp" --target-dir="$folder/data" >prepare.log 2>&1 ||
        { tail -n 4 prepare.log >&2; return 1; }
    redo=$1
    if [ -s replay.sql ]; then
        told replay.sql && replay && told replayed.sql || return 1
    fi
    told accounts.sql || return 1
    # Whom it followed, which group it was in, and what the copy says about itself.
    rm -f data/*master*.info data/relay* data/grastate.dat data/gvwstate.dat data/galera.cache data/donor_galera_info \
        data/xtrabackup_* data/mariadb_backup_* data/backup-my.cnf
}

"$what" "$4"
