# Writes a copy of this running server to whoever reads, and tells beside it up to where it goes.
set -u
umask 077
home=$1 backup=$2
work=$home/tmp/copy-out
rm -rf "$work"
mkdir -p "$work" || exit 1
trap 'rm -rf "$work"' EXIT
# The socket's path is told from here: it has at most 107 bytes.
cd "$home/data" || exit 1
"$backup" --defaults-file="$home/copy.cnf" --datadir="$home/data" --tmpdir="$work" --backup --stream=mbstream "${@:3}" --target-dir="$work/target" 2>"$work/log"
status=$?
# Its last words are the only ones by which it says that nothing is missing.
if [ $status -eq 0 ] && tail -n 1 "$work/log" | grep -q 'completed OK!'; then
    grep -e 'binlog position:' -e 'Galera info succeeded' "$work/log" >&2
    exit 0
fi
{
    grep -i -e 'error' -e 'only able to copy' "$work/log" | tail -n 2
    tail -n 2 "$work/log"
} >&2
exit 1
