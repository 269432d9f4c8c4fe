# Sourced by run.sh: `xmpp-ica check` and the page "Test your server" at Debian's Prosody and ejabberd, in order and in every kind of disorder (check-setups.ts).
# The CA is started again with a DNS server that knows SRV and TLSA, and at the end once more with the usual one.
# shellcheck shell=bash disable=SC2034,SC2154

CHECK=$WORK/check
CHECK_DNS=127.0.0.55
CHECK_MANAGEMENT=http://127.0.0.1:8057

check_script() { (cd "$HOME_OF_ICA" && exec timeout 150 env NODE_EXTRA_CA_CERTS="$ROOT" node --import tsx "$E2E/$1" "${@:2}"); }

check_world() {
  wait_for 15 grep -qx up "$CHECK/world.log" || fail "$(cat "$CHECK/world.log")"
}

check_certificates() {
  ICA_KEYS=$KEYS PASSPHRASE_FILE=$FOLDER/ca-keys.passphrase check_script check-certificates.ts "$DIRECTORY" $CHECK_MANAGEMENT "$CHECK/certs" "$ROOT"
  wait_for 20 is_in_crl "$CHECK/certs/revoked.pem"
}

check_servers_start() {
  mkdir -p "$CHECK/spool"
  check_script check-configuration.ts "$CHECK" "$ROOT"
  prosody -F --config "$CHECK/prosody.cfg.lua" >"$CHECK/prosody.out" 2>&1 </dev/null &
  echo $! >"$CHECK/pids"
  nginx -c "$CHECK/nginx.conf" >"$CHECK/nginx.out" 2>&1 </dev/null &
  echo $! >>"$CHECK/pids"
  printf '{file, resolv, "/etc/resolv.conf"}.\n{lookup, ["dns"]}.\n{host, {127,0,0,1}, ["localhost"]}.\n' >"$CHECK/inetrc"
  (
    ERL_LIBS=$(dirname "$(dirname "$(ls -d /usr/lib/*/ejabberd-*/ebin | head -n 1)")")
    export ERL_LIBS EJABBERD_CONFIG_PATH=$CHECK/ejabberd.yml EJABBERD_LOG_PATH=$CHECK/ejabberd.log ERL_INETRC=$CHECK/inetrc ERL_CRASH_DUMP_BYTES=0 HOME=$CHECK
    exec erl -noinput -mnesia dir "\"$CHECK/spool\"" -s ejabberd
  ) >"$CHECK/ejabberd.out" 2>&1 </dev/null &
  echo $! >>"$CHECK/pids"
  wait_for 10 listens 127.0.6.1 5270 || fail "$(tail -n 30 "$CHECK/prosody.out" "$CHECK/prosody.log")"
  wait_for 5 listens 127.0.6.4 443 || fail "$(cat "$CHECK/nginx.out" "$CHECK/nginx.log")"
  wait_for 30 listens 127.0.6.2 5270 || fail "$(tail -n 30 "$CHECK/ejabberd.out" "$CHECK/ejabberd.log")"
}
listens() { (exec 3<>"/dev/tcp/$1/$2"); }

test_check() {
  mkdir -p "$CHECK/certs"
  (cd "$HOME_OF_ICA" && exec node --import tsx "$E2E/check-world.ts" $CHECK_DNS 8057 $HOST "$CHECK/certs") >"$CHECK/world.log" 2>&1 </dev/null &
  local world=$!
  check 'check: DNS, a silent port, a front that staples' check_world
  check 'check: SIGTERM, the CA is to ask another DNS server' stop_server
  start_server "$(basename "$FOLDER")" "ICA_DNS_SERVERS=$CHECK_DNS:53"
  check 'check: the CA is up again' wait_until_ready 20
  check 'check: certificates by ACME, and bad ones' check_certificates
  check 'check: Prosody, ejabberd and a web server are up' check_servers_start
  checks 'check: every set-up' check_script check-servers.ts "$CHECK" "$ROOT" $CHECK_DNS:53 $CHECK_MANAGEMENT
  checks 'check: the page, to the end' check_script check-page.ts https://ica.test "$CHECK" "$ROOT" $CHECK_DNS:53 "${E2E_OUT:-$WORK/screenshots}"
  # shellcheck disable=SC2046
  kill $(cat "$CHECK/pids") "$world"
  check 'check: SIGTERM, back to the usual DNS server' stop_server
  start_server "$(basename "$FOLDER")"
  check 'check: the CA is up with it' wait_until_ready 20
}
