# Sourced by run.sh: the parts that are about the program itself rather than about one client.
# shellcheck shell=bash disable=SC2034,SC2154

first_start() {
  wait_until_ready 60
  cat "$FOLDER/start.txt"
}

test_start() {
  start_server sqlite
  check 'npm start: a CA out of nothing' first_start
  trust_root
  check 'CA certificates, root CRL and key files' hierarchy
  check 'root fingerprint in the start message and for the page' fingerprint_is_shown
  check 'its own HTTPS certificate, strictly' own_https
  check 'ACME directory' acme_directory
}

own_https() {
  openssl s_client -connect ica.test:443 -servername ica.test -verify_return_error -x509_strict -CAfile "$ROOT" -verify_hostname ica.test </dev/null
}

acme_directory() {
  local reply
  reply=$(curl -sf -m 5 --cacert "$ROOT" -D "$WORK/directory.headers" $DIRECTORY)
  echo "$reply"
  # ejabberd's client takes no other Content-Type, not even with a charset.
  grep -qi $'^content-type: application/json\r$' "$WORK/directory.headers"
  for member in newNonce newAccount newOrder revokeCert keyChange termsOfService; do grep -q "\"$member\"" <<<"$reply" || fail "no $member"; done
}

test_status() {
  check 'OCSP good, lego revokes, OCSP revoked, in the CRL' revoked_everywhere
  check 'openssl verify -crl_check_all refuses the revoked one' is_refused_by_crl "$WORK/revoked.pem"
  check 'OCSP: unknown, unauthorized, malformed' unknown_in_ocsp
}

cli_reads() {
  local serial
  xmpp_ica list --json >"$WORK/list.json"
  grep -q 'dns.lego.test' "$WORK/list.json"
  serial=$(openssl x509 -in "$CLIENTS/lego/certificates/dns.lego.test.crt" -noout -serial | sed 's/^serial=//' | tr A-F a-f)
  xmpp_ica show --json "$serial" | tee "$WORK/show.json"
  grep -q 'dns.lego.test' "$WORK/show.json"
  xmpp_ica show dns.lego.test
  xmpp_ica show "$CLIENTS/lego/certificates/dns.lego.test.crt"
}

cli_revokes() {
  local chain=$CLIENTS/lego/certificates/a.lego.test.crt serial
  serial=$(openssl x509 -in "$chain" -noout -serial | sed 's/^serial=//' | tr A-F a-f)
  xmpp_ica revoke "$serial" --reason cessationOfOperation
  # The running server learns of it from the database.
  wait_for 20 ocsp_says revoked "$chain"
  xmpp_ica crl
  wait_for 20 is_in_crl "$chain"
}

test_cli() {
  check 'xmpp-ica list, show' cli_reads
  check 'xmpp-ica revoke, crl beside the running server' cli_revokes
  check 'xmpp-ica doctor' xmpp_ica doctor
}

# Stopped and started again: the same CA, within 3 s, and everything that it said before still holds.
test_restart() {
  local fingerprint
  fingerprint=$(sha256sum <"$ROOT")
  check 'SIGTERM ends it within 5 s' stop_server
  # Not inside check: the server has to outlive it.
  local from
  from=$(now_ms)
  start_server sqlite
  check 'the second npm start is up within 3 s' up_since "$from"
  check 'the second start has the same root' test "$fingerprint" = "$(sha256sum <"$ROOT")"
  check 'OCSP after the restart: good' ocsp_says good "$CLIENTS/lego/certificates/dns.lego.test.crt"
  check 'OCSP after the restart: revoked' ocsp_says revoked "$WORK/revoked.pem"
  check 'lego: its account after the restart' lego_ "${lego_dns[@]}" -d dns.lego.test renew --no-random-sleep --days 100000
}

up_since() {
  wait_until_ready 20
  local took=$(($(now_ms) - $1))
  echo "ready after $took ms"
  [ $took -le 3000 ] || fail "that is more than 3 s"
}

# A cluster of its own, as an unprivileged user (PostgreSQL refuses root), reached by its socket and on loopback. It need not outlive a power cut.
start_postgresql() {
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
  PG=$WORK/postgresql
  mkdir -p "$PG"
  if [ "$REAL_UID" = 0 ]; then
    chown postgres: "$PG"
    as_pg=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
  else
    as_pg=(unshare -U "--map-user=$REAL_UID" "--map-group=$REAL_GID" --)
  fi
  "${as_pg[@]}" "$bin/initdb" -D "$PG/data" -U ica -A trust -E UTF8 --locale=C.UTF-8 >"$PG.init.log" 2>&1 || { cat "$PG.init.log" && return 1; }
  "${as_pg[@]}" "$bin/postgres" -D "$PG/data" -k "$PG" -c listen_addresses=127.0.0.1 -c port=5433 -c log_statement=ddl -c fsync=off -c full_page_writes=off >"$PG.log" 2>&1 </dev/null &
  wait_for 20 "$bin/pg_isready" -h "$PG" -p 5433 || { cat "$PG.log" && return 1; }
  "$bin/createdb" -h "$PG" -p 5433 -U ica ica
  "$bin/createdb" -h "$PG" -p 5433 -U ica store_tests
}

# SQLite has its turn in `npm test`. With those of the status side that need a PostgreSQL: two nodes that publish, and a status process whose database goes and comes back.
store_tests() {
  cd "$HOME_OF_ICA" || return
  ICA_TEST_ENGINE=postgresql ICA_TEST_POSTGRES_URL=postgresql://ica@127.0.0.1:5433/store_tests \
    node --import tsx --test --test-concurrency=2 --test-reporter=spec \
    test/store/*.test.ts test/status/crl-processes.test.ts test/status/silent-database.test.ts test/cli/status-side-postgresql.test.ts >"$WORK/store.txt" 2>&1 ||
    fail "$(tail -n 60 "$WORK/store.txt")"
  tail -n 10 "$WORK/store.txt"
  # Proof that the tests saw the variable.
  grep -qi postgres "$WORK/store.txt"
  grep 'outlives its database' "$WORK/store.txt" | grep -qv SKIP
}

# What a client sees must not depend on the database: the part of the ACME conformance suite that goes deep into it.
acme_tests() {
  cd "$HOME_OF_ICA" || return
  local before
  before=$(grep -c 'CREATE DATABASE ica_test_' "$PG.log" || true)
  ICA_TEST_POSTGRES_URL=postgresql://ica@127.0.0.1:5433/store_tests node --import tsx --test --test-concurrency=2 --test-reporter=spec test/acme/rfc8555-{6,6.6-limits,7-accounts,7-orders,7.3.4-eab}.test.ts \
    test/acme/rfc9773.test.ts >"$WORK/acme.txt" 2>&1 || fail "$(tail -n 60 "$WORK/acme.txt")"
  tail -n 10 "$WORK/acme.txt"
  # Proof that they ran there: each has a database of its own.
  [ $(($(grep -c 'CREATE DATABASE ica_test_' "$PG.log") - before)) -ge 6 ]
}

test_postgresql() {
  if [ -n "${server:-}" ]; then
    check 'SIGTERM before PostgreSQL' stop_server
    server=
  fi
  start_postgresql || { failed=$((failed + 1)) && return; }
  check 'store and status tests on PostgreSQL' store_tests
  check 'ACME conformance on PostgreSQL' acme_tests
  CLIENTS=$WORK/clients-postgresql
  mkdir -p "$CLIENTS"
  head -c 24 /dev/urandom | base64 >"$WORK/postgresql-ca.passphrase"
  chmod 600 "$WORK/postgresql-ca.passphrase"
  START=installed start_server on-postgresql DATABASE_URL=postgresql://ica@127.0.0.1:5433/ica "ICA_KEY_PASSPHRASE_FILE=$WORK/postgresql-ca.passphrase"
  check 'PostgreSQL: a CA out of nothing' first_start
  trust_root
  check 'PostgreSQL: lego, dns-01 with a wildcard' lego_ "${lego_dns[@]}" -d pg.lego.test -d '*.pg.lego.test' run
  check 'PostgreSQL: certificate' has_names "$CLIENTS/lego/certificates/pg.lego.test.crt" pg.lego.test '*.pg.lego.test'
  set_address http.lego.test 127.0.5.3
  check 'PostgreSQL: lego, http-01' lego_ --http --http.port "127.0.5.3:$HTTP01_PORT" -d http.lego.test run
  check 'PostgreSQL: OCSP good, revoked, in the CRL' revoked_everywhere
  check 'PostgreSQL: openssl verify refuses the revoked one' is_refused_by_crl "$WORK/revoked.pem"
}

# Every public page in Chromium, with what the parts before have issued. The screenshots are kept where E2E_OUT says.
test_pages() {
  local out=${E2E_OUT:-$WORK/screenshots}
  checks 'pages: to the end' env NODE_EXTRA_CA_CERTS="$ROOT" node --import tsx "$E2E/pages.ts" https://ica.test "$out" lego.test
}

# The form in Chromium, against a CA of its own. The DNS server, which knows MX, SRV and CAA, and the mail server are those of browser.ts.
form_dns_port=8053
form_smtp_port=8025
form_out=${E2E_OUT:-$WORK/screenshots}

start_form() {
  start_server form "ICA_DNS_SERVERS=127.0.0.1:$form_dns_port" ICA_DNS_PORT=$form_dns_port "SMTP_URL=smtp://127.0.0.1:$form_smtp_port" ICA_MAIL_FROM=ca@ica.test \
    ICA_LIMITS=newAccountsPerAddress=100/3h
}
stop_form() { stop_server >>"$WORK/log/stop_form.log"; }

test_form() {
  if [ -n "${server:-}" ]; then
    check 'SIGTERM before the form' stop_server
    server=
  fi
  start_form
  check 'form: a CA out of nothing' first_start
  trust_root
  checks 'form: to the end' env NODE_EXTRA_CA_CERTS="$ROOT" node --import tsx "$E2E/browser.ts" \
    https://ica.test $HOST $form_dns_port $form_smtp_port "$WEBROOT" "$form_out" "$FOLDER"
  test_guides
  export ICA_DNS_SERVERS=$DNS
  unset ICA_DNS_PORT SMTP_URL ICA_MAIL_FROM ICA_LIMITS
}

# Of the certificates that the form has issued, those of two servers, taken where the page says.
test_guides() {
  local guide=$FOLDER/guide
  [ "$REAL_UID" = 0 ] || { echo 'left out: the lines of the page are for root, who is nobody in a user namespace' && return; }
  checks 'guide: Prosody, to the end' unshare --mount "$E2E/guide.sh" prosody 127.0.3.1 "$guide/prosody" "$guide/ejabberd"
  checks 'guide: ejabberd, to the end' unshare --mount "$E2E/guide.sh" ejabberd 127.0.3.2 "$guide/ejabberd" "$guide/prosody"
}
