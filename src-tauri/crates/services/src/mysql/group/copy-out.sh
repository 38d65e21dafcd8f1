# Writes the files of a folder to whoever reads: before each a line with its size and its path, `-` for a folder, at last `end`.
# Oracle's images have no `tar`.
set -u
shopt -s dotglob globstar nullglob
cd "$1" || exit 1
for path in **; do
    if [ -d "$path" ]; then
        printf -- '- %s\n' "$path" || exit 1
    else
        { printf '%s %s\n' "$(stat -c %s "$path")" "$path" && cat "$path"; } || exit 1
    fi
done
printf 'end\n'
