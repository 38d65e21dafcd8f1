# PostgreSQL's archive_command. $1 the piece, $2 its name, $3 where pieces wait, $4 KiB that may wait there.
#
# It fails only where trying again helps and there is room to wait: a server that may not get rid of its log fills its disk, and
# then nobody writes any more. What is given up is a hole, which whoever archives finds by itself; the list says it sooner.
umask 077
case $2 in *.partial | *.backup) exit 0 ;; esac

kib() { du -sk "$1" 2> /dev/null | { read -r n rest; echo "${n:-0}"; }; }
give_up() { [ "$(kib "$2/given-up")" -ge 64 ] || echo "$1" >> "$2/given-up"; exit 0; }

if [ -e "$3/$2" ]; then
  cmp -s "$1" "$3/$2" || give_up "$2" "$3"
  exit 0
fi
[ "$(kib "$3")" -lt "$4" ] || give_up "$2" "$3"
new="$3/$2.new"
# A piece that was closed before it was full ends in nothing, which takes no room.
{ cp --sparse=always "$1" "$new" 2> /dev/null || cp "$1" "$new"; } &&
  sync "$new" && mv "$new" "$3/$2" && sync "$3" && exit 0
rm -f "$new"
[ "$(kib "${1%/*}")" -lt "$4" ] || give_up "$2" "$3"
exit 1
