#!/bin/bash
# Sends a copy of this running server to a node that waits for it (`serve.sh`), over TLS with certificates of the cluster.
set -u -o pipefail
umask 077
home=$1 backup=$2 to=$3 port=$4 name=$5
tls=$home/../tls
cd "$home/data" || exit 1
target=$home/tmp/send-$name
rm -rf "$target"
trap 'rm -rf "$target"' EXIT
"$backup" --defaults-file="$home/copy.cnf" --datadir="$home/data" --tmpdir="$home/tmp" --backup --stream=mbstream "${@:6}" --target-dir="$target" |
    socat -u STDIN "OPENSSL:$to:$port,retry=100,interval=0.2,cert=$tls/node.crt,key=$tls/node.key,cafile=$tls/ca.crt,verify=1,commonname=$name" && : >"$home/tmp/sent-$name"
