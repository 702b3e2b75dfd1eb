#!/bin/sh
# A base backup of the whole cluster into FOLDER/base/STAMP, checked before it gets its name; then whatever is older than
# KEEP_DAYS goes, and the WAL that only it needed: an erased person's key must not outlive the erasure in a backup.
#
#   backup.sh FOLDER [KEEP_DAYS]     as a user of FOLDER; the server by PGHOST, PGUSER …; binaries from PGBIN, or PATH
#
# FOLDER/wal is where the server archives to (README.md beside this file).
set -eu
export LC_ALL=C # what the programs say is read
folder=${1:?usage: backup.sh FOLDER [KEEP_DAYS]} days=${2:-30}
PATH="${PGBIN:+$PGBIN:}$PATH"
umask 077
stamp() { date -u -d "@$1" +%Y%m%d%H%M%S; }

mkdir -p "$folder/base"
rm -rf "$folder"/base/*.part
part="$folder/base/$$.part"
pg_basebackup --pgdata="$part" --checkpoint=fast --wal-method=stream --manifest-checksums=SHA256 --no-password
pg_verifybackup --quiet "$part"
made=$(stamp "$(date +%s)") # complete: it can be recovered to any later time
mv -T "$part" "$folder/base/$made"
sync "$folder/base"

too_old=$(stamp $(($(date +%s) - days * 86400)))
for base in "$folder"/base/*; do
  if [ "${base##*/}" -lt "$too_old" ] && [ "${base##*/}" != "$made" ]; then rm -rf "$base"; fi
done
oldest=$(find "$folder/base" -mindepth 1 -maxdepth 1 | sort | head -n 1)
first=$(sed -n 's/^START WAL LOCATION: .* (file \([0-9A-F]*\))$/\1/p' "$oldest/backup_label")
pg_archivecleanup "$folder/wal" "$first"
echo "$folder/base/$made"
