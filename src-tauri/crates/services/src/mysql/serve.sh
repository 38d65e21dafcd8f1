#!/bin/bash
# Makes the data folder of a server where there is none, then becomes the server. With `position` it only finds out how far
# a stopped member of a group had come.
#
# A folder is made under another name and renamed when it is complete, so a kill at any moment leaves none or a whole one.
set -u -o pipefail
umask 077
what=$1 home=$2 server=$3 listen=$4 port=$5 redo=$6
tls=$home/../tls
PATH=$(dirname "$server"):$(dirname "$server")/../bin:$PATH
cd "$home" || exit 1

# A server that starts throws away all temporary tables it finds, also those of another one in the same folder: each has its
# own, not /tmp.
fresh() {
    mariadb-install-db --no-defaults --datadir="$home/data.new" --auth-root-authentication-method=normal \
        --skip-test-db --tmpdir="$home/tmp" --innodb-flush-log-at-trx-commit=0 --sync-frm=0 \
        --aria-sync-log-dir=NEVER --innodb-log-file-size="$redo" --extra-file="$home/accounts.sql" >install.log 2>&1 ||
        { grep -v -i -e 'mariadb.org' -e 'shell>' install.log | head -n 12; return 1; }
}

# A file that a copy brings about itself: from 11.1 on they have another name.
about() {
    for file in "data.new/mariadb_backup_$1" "data.new/xtrabackup_$1"; do
        [ ! -s "$file" ] || { echo "$file"; return; }
    done
}

# The other end is `send.sh`; each shows a certificate of the cluster.
copy() {
    mkdir data.new || return 1
    socat -u "OPENSSL-LISTEN:$port,bind=$listen,reuseaddr,accept-timeout=120,cert=$tls/node.crt,key=$tls/node.key,cafile=$tls/ca.crt,verify=1" \
        STDOUT | mbstream -x -C data.new || return 1
    # Written last: without it the stream was cut short.
    [ -n "$(about info)" ] || { echo 'the copy was cut short'; return 1; }
    mariadb-backup --prepare --tmpdir="$home/tmp" --target-dir="$home/data.new" >prepare.log 2>&1 ||
        { tail -n 20 prepare.log; return 1; }
    # A member's position is in its tables; what it lacks by now the group sends.
    galera=$(about galera_info)
    if [ -n "$galera" ]; then
        IFS=': ' read -r group number _ <"$galera"
        printf '# GALERA saved state\nversion: 2.1\nuuid:    %s\nseqno:   %s\nsafe_to_bootstrap: 0\n' "$group" "$number" \
            >data.new/grastate.dat
        return
    fi
    # Up to which transaction it goes: from there it follows.
    log=$(about binlog_info)
    position=
    [ -z "$log" ] || read -r _ _ position <"$log" || position=
    {
        echo 'TRUNCATE mysql.gtid_slave_pos;'
        IFS=, read -ra transactions <<<"${position:-}"
        for one in "${transactions[@]}"; do
            IFS=- read -r domain id sequence <<<"$one"
            echo "INSERT INTO mysql.gtid_slave_pos (domain_id, sub_id, server_id, seq_no) VALUES ($domain, 1, $id, $sequence);"
        done
    } | "$server" --no-defaults --bootstrap --datadir="$home/data.new" --tmpdir="$home/tmp" \
        --innodb-log-file-size="$redo" >position.log 2>&1 || { tail -n 20 position.log; return 1; }
}

# Where Galera is; nothing for a server that is no member.
member=()
if grep -q '^wsrep-on=ON' my.cnf; then
    for library in /usr/lib/galera/libgalera_smm.so /usr/lib/galera-4/libgalera_smm.so /usr/lib64/galera-4/libgalera_smm.so \
        /usr/lib64/galera/libgalera_smm.so; do
        [ ! -e "$library" ] || { member=("--wsrep-provider=$library"); break; }
    done
    [ ${#member[@]} -gt 0 ] || { echo 'Galera is not installed: install galera-4, then try again'; exit 1; }
fi

# The last transaction of the group that is here, as `group:number`; nothing where none was ever.
recovered() {
    "$server" --defaults-file="$home/my.cnf" "${member[@]}" --wsrep-recover --log-error="$home/recover.log" --skip-networking \
        --init-file= >/dev/null 2>&1
    sed -n 's/.*WSREP: Recovered position:* *\([0-9a-f-]*:-\{0,1\}[0-9]*\).*/\1/p' recover.log | tail -n 1
}

if [ "$what" = position ]; then
    rm -f recover.log
    found=$(recovered)
    echo "${found:-unknown}" >position.new && mv position.new position
    exit
fi

mkdir -p tmp
if [ ! -d data ]; then
    rm -rf data.new
    how=$(cat make)
    case $how in fresh | copy) "$how" ;; *) false ;; esac || { echo "no data folder could be made ($how)"; exit 1; }
    mv data.new data || exit 1
fi
rm -f accounts.sql

# Told to lead, once: a server that comes back by itself is read-only, or joins.
extra=()
if [ -e lead ]; then
    read -r -a extra <lead
    rm -f lead
fi
if [ ${#member[@]} -gt 0 ]; then
    begins=
    case " ${extra[*]} " in *' --wsrep-new-cluster '*) begins=yes ;; esac
    extra+=("${member[@]}")
    # Data that came from a copy knows how far the group had come that it was copied from: a new group does not go on from there.
    if [ -e data/ibdata1 ] && { [ -z "$begins" ] || [ -e data/grastate.dat ]; }; then
        rm -f recover.log
        found=$(recovered)
        case $found in '' | *:-1) ;; *) extra+=("--wsrep-start-position=$found") ;; esac
    fi
    [ -z "$begins" ] || [ ! -e data/grastate.dat ] || sed -i 's/^safe_to_bootstrap: 0/safe_to_bootstrap: 1/' data/grastate.dat
fi
exec "$server" --defaults-file="$home/my.cnf" "${extra[@]}"
