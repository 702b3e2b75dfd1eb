#!/bin/sh
# A base backup and the archived WAL become a new data folder: at a time, or at the last thing that was archived.
# Nothing is run that has not been verified, and nothing that is there is touched.
#
#   restore.sh FOLDER NEW_DATA ['2026-11-26 12:00:00+08']     as the user that is to run PostgreSQL
#
# PGBIN     where the binaries are, if not in PATH
# OLD_WAL   pg_wal of the cluster that was lost, if it can still be read: it holds what was not archived yet
#
# At the end NEW_DATA is a stopped cluster on a timeline of its own that archives nowhere: a drill must never write into
# the archive of the city.
set -eu
export LC_ALL=C # what the programs say is read
folder=$(realpath "${1:?usage: restore.sh FOLDER NEW_DATA [TIME]}") data=${2:?name a new data folder} time=${3:-}
PATH="${PGBIN:+$PGBIN:}$PATH"
umask 077
fail() {
  echo "restore.sh: $1" >&2
  exit 1
}

if [ -e "$data" ]; then fail "$data is there already; name a new folder"; fi
case "$folder${OLD_WAL:-}$time" in *[\'\"\\]*) fail "a quote in a path or a time" ;; esac
latest=$(date -u -d "${time:-now}" +%Y%m%d%H%M%S) || fail "$time is no time"
base=
for one in $(find "$folder/base" -mindepth 1 -maxdepth 1 -name '[0-9]*[0-9]' | sort); do
  if [ "${one##*/}" -le "$latest" ]; then base=$one; fi
done
if [ -z "$base" ]; then fail "no base backup in $folder/base was complete by then"; fi

mkdir -p "$(dirname "$data")"
cp -R "$base" "$data"
if ! pg_verifybackup --quiet "$data"; then
  rm -rf "$data"
  fail "$base is damaged; move it away and run this again: an older one serves, if all WAL since is there"
fi

touch "$data/recovery.signal"
echo "archive_mode = off" >> "$data/postgresql.auto.conf"
socket=$(mktemp -d)
trap 'rm -rf "$socket"' EXIT
command="cp \"$folder/wal/%f\" \"%p\"${OLD_WAL:+ 2>/dev/null || cp \"$OLD_WAL/%f\" \"%p\"}"
options="-c restore_command='$command' -c listen_addresses='' -c unix_socket_directories='$socket'"
options="$options -c hot_standby=off -c recovery_target_action=promote${time:+ -c recovery_target_time='$time'}"
pg_ctl --pgdata="$data" --log="$data.log" --wait --options="$options" start > /dev/null || true
# It has recovered, and been promoted, when it calls itself in production; until then it may still give up.
until pg_controldata "$data" | grep -q 'cluster state: *in production'; do
  if ! pg_ctl --pgdata="$data" status > /dev/null; then
    fail "not recovered: $(grep -E 'FATAL|PANIC' "$data.log" | tail -n 1) (see $data.log)"
  fi
  sleep 0.2
done
pg_ctl --pgdata="$data" --wait --mode=fast stop > /dev/null
echo "$data: recovered from $base${time:+ to $time}"
