# Sourced by run.sh: what every part of the end-to-end test uses.
# WORK is the scratch folder; each check has its log in $WORK/log.
# shellcheck shell=bash disable=SC2034,SC2154

passed=0
failed=0

# check NAME COMMAND...: one line for each check. The command runs in a shell of its own under `set -e`; what it says goes to its log, which is shown where
# it fails. Never call it as a condition: that would switch `set -e` off.
check() {
  local name=$1 log started status
  shift
  log=$WORK/log/$(printf %s "$name" | tr -c 'A-Za-z0-9._-' _).log
  started=$(date +%s%N)
  (
    set -euo pipefail
    "$@"
  ) >"$log" 2>&1
  status=$?
  local took=$((($(date +%s%N) - started) / 100000000))
  if [ $status = 0 ]; then
    passed=$((passed + 1))
    printf 'ok    %-64s %3d.%d s\n' "$name" $((took / 10)) $((took % 10))
  else
    failed=$((failed + 1))
    printf 'FAIL  %-64s %3d.%d s  (status %d)\n' "$name" $((took / 10)) $((took % 10)) $status
    sed 's/^/      | /' "$log" | tail -n 40
    if [ -s "$SERVER_LOG" ]; then
      echo '      the server said last:'
      tail -n 8 "$SERVER_LOG" | cut -c1-400 | sed 's/^/      > /'
    fi
  fi
}

# checks NAME COMMAND...: a program that prints such lines itself. They are counted; that it came to its end is a check of its own. A line `call FUNCTION` has that
# function called here, where the server is a child.
checks() {
  local name=$1 line status=none
  shift
  while IFS= read -r line; do
    case $line in
      'ok '*) passed=$((passed + 1)) ;;
      'FAIL '*) failed=$((failed + 1)) ;;
      'status '*) status=${line#status } && continue ;;
      'call '*) ${line#call } && continue ;;
    esac
    printf '%s\n' "$line"
  done < <("$@" 2>&1 </dev/null; echo "status $?")
  check "$name" test "$status" -le 1
}

fail() {
  echo "$*" >&2
  return 1
}

# wait_for SECONDS COMMAND...: tries it every 0.1 s.
wait_for() {
  local tries=$(($1 * 10))
  shift
  while [ $tries -gt 0 ]; do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
    tries=$((tries - 1))
  done
  fail "timed out: $*"
}

# now_ms, for what has to be quick.
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# start_server NAME [VARIABLE=VALUE...]: `npm start` as a user does it, with a folder of its own for database and keys. Sets server, SERVER_LOG, KEYS, ROOT
# and the variables by which the program's command line finds the same CA. With START=installed it is started in that folder instead of the repository's:
# where the database is no file, the program keeps what it makes for itself in ./data.
start_server() {
  local name=$1
  shift
  FOLDER=$WORK/$name
  mkdir -p "$FOLDER"
  KEYS=$FOLDER/ca-keys
  ROOT=$KEYS/root.pem
  SERVER_LOG=$FOLDER/server.log
  export ICA_URL=https://ica.test ICA_STATUS_URL=http://status.ica.test ICA_LISTEN=$HOST:443 ICA_STATUS_LISTEN=$HOST:80
  export ICA_DNS_SERVERS=$DNS ICA_LAB=1 ICA_HTTP01_PORT=$HTTP01_PORT ICA_TLSALPN01_PORT=$TLSALPN01_PORT
  export ICA_KEYS=$KEYS DATABASE_URL=file:$FOLDER/ica.db
  local setting
  for setting in "$@"; do export "${setting?}"; done
  if [ "${START:-}" = installed ]; then
    (cd "$FOLDER" && exec node "$HOME_OF_ICA/src/bootstrap.mjs" serve) >"$FOLDER/start.txt" 2>>"$SERVER_LOG" </dev/null &
  else
    (cd "$HOME_OF_ICA" && exec npm start) >"$FOLDER/start.txt" 2>>"$SERVER_LOG" </dev/null &
  fi
  server=$!
}

# wait_until_ready SECONDS: gives up at once where the server has ended.
wait_until_ready() {
  wait_for "$1" ready_or_gone
  is_ready || fail 'the server is not ready'
}
ready_or_gone() { is_ready || ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$server/status"; }
is_ready() { curl -sf -m 2 http://status.ica.test/readyz -o /dev/null || curl -sf -m 2 --cacert "$ROOT" https://ica.test/readyz -o /dev/null; }

# The directory of hashed roots that stands in for /etc/ssl/certs: uacme and others know no other way to be told of a root.
trust_root() {
  rm -f "$TRUST"/*
  cp "$ROOT" "$TRUST/ca-certificates.crt"
  cp "$ROOT" "$TRUST/root.pem"
  openssl rehash "$TRUST" >/dev/null 2>&1
}

# Every process below a pid, itself last.
below() {
  local child
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do below "$child"; done
  echo "$1"
}

# stop_server: SIGTERM to what was started (npm hands it on). Fails where anything is left after 5 s.
stop_server() {
  local all process started
  all=$(below "$server")
  started=$(now_ms)
  kill -TERM "$server"
  while [ $(($(now_ms) - started)) -lt 5000 ]; do
    for process in $all; do
      # A zombie has ended; its parent is this script.
      if grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$process/status"; then sleep 0.05 && continue 2; fi
    done
    echo "ended within $(($(now_ms) - started)) ms"
    return 0
  done
  # shellcheck disable=SC2086
  kill -KILL $all 2>/dev/null
  fail 'still running 5 s after SIGTERM'
}

# An address for a name of its own, in the DNS server.
set_address() { curl -sf -m 5 "$TXT_URL/add-a" -d "{\"host\":\"$1.\",\"addresses\":[\"$2\"]}"; }

xmpp_ica() { (cd "$HOME_OF_ICA" && node src/bootstrap.mjs "$@"); }
