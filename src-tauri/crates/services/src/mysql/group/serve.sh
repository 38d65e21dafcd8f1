#!/bin/bash
# Makes the data folder of a server where there is none, then becomes the server.
#
# A folder is made under another name and renamed when it is complete, so a kill at any moment leaves none or a whole one.
set -u -o pipefail
umask 077
home=$1 server=$2
cd "$home" || exit 1
mkdir -p tmp
if [ ! -d data ]; then
    rm -rf data.new
    [ -s accounts.sql ] || { echo 'there is no data folder, and nobody said what a new one is given'; exit 1; }
    "$server" --defaults-file="$home/my.cnf" --datadir="$home/data.new" --initialize-insecure --init-file="$home/accounts.sql" \
        >install.log 2>&1 || { tail -n 12 install.log; exit 1; }
    mv data.new data || exit 1
fi
rm -f accounts.sql

# Told to take writes alone, once: every other start is read-only, until the group says otherwise.
extra=()
if [ -e lead ]; then
    read -r -a extra <lead
    rm -f lead
fi
# A server that has copied everything from another one starts anew: it ends with a status of its own when it knows that
# somebody starts it again, which whoever started us does.
export MYSQLD_PARENT_PID=$PPID
exec "$server" --defaults-file="$home/my.cnf" "${extra[@]}"
