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

prepare() {
    mkdir -p tmp
    mariadb-backup --prepare --tmpdir="$folder/tmp" --target-dir="$folder/data" >prepare.log 2>&1 ||
        { tail -n 4 prepare.log >&2; return 1; }
    # What it quotes may be a password's hash.
    "$server" --no-defaults --bootstrap --datadir="$folder/data" --tmpdir="$folder/tmp" --innodb-log-file-size="$1" \
        <accounts.sql >accounts.log 2>&1 || { tail -n 4 accounts.log | sed "s/'[^']*'/'…'/g" >&2; return 1; }
    # Whom it followed, which group it was in, and what the copy says about itself.
    rm -f data/*master*.info data/relay* data/grastate.dat data/gvwstate.dat data/galera.cache data/donor_galera_info \
        data/xtrabackup_* data/mariadb_backup_* data/backup-my.cnf
}

"$what" "$4"
