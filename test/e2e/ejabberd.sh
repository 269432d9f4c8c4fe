# Sourced by run.sh: ejabberd gets certificates from this CA by itself, serves them, renews and revokes.
# DIRECTORY, ROOT, HTTP01_PORT and CLIENTS are set there.
# shellcheck shell=bash disable=SC2034,SC2154

ejabberd_environment() {
  ERL_LIBS=$(dirname "$(dirname "$(ls -d /usr/lib/*/ejabberd-*/ebin | head -n 1)")")
  export ERL_LIBS ERL_INETRC=$CLIENTS/ejabberd/inetrc ERL_CRASH_DUMP_BYTES=0 HOME=$CLIENTS/ejabberd
}

# Its own ACME client: http-01 only, no profile, strict about media types. Plain `erl`, without the scripts that want a service user.
start_ejabberd() {
  local at=$CLIENTS/ejabberd address=127.0.2.2
  mkdir -p "$at/spool"
  set_address ejabberd.test $address
  cat >"$at/ejabberd.yml" <<END
loglevel: debug
log_rotate_count: 0
hosts: [ejabberd.test]
ca_file: $ROOT
s2s_use_starttls: required
acme: { ca_url: "$DIRECTORY", contact: ["mailto:admin@ejabberd.test"], cert_type: ec, auto: true }
listen:
  - { port: 5222, ip: $address, module: ejabberd_c2s, starttls: true }
  - { port: 5269, ip: $address, module: ejabberd_s2s_in }
  - { port: $HTTP01_PORT, ip: $address, module: ejabberd_http, request_handlers: { "/.well-known/acme-challenge": ejabberd_acme } }
END
  printf '{file, resolv, "/etc/resolv.conf"}.\n{lookup, ["file", "dns"]}.\n{host, {127,0,0,1}, ["localhost"]}.\n' >"$at/inetrc"
  (
    ejabberd_environment
    export EJABBERD_CONFIG_PATH=$at/ejabberd.yml EJABBERD_LOG_PATH=$at/ejabberd.log
    # Without the second option it drops log lines in bursts, and the one that is waited for may be among them.
    exec erl -sname ejabberd@localhost -noinput -ejabberd log_burst_limit_count 100000 -mnesia dir "\"$at/spool\"" -s ejabberd
  ) >"$at/out" 2>&1 </dev/null &
  ejabberd=$!
}

ejabberd_has_certificate() {
  local log=$CLIENTS/ejabberd/ejabberd.log
  wait_for 60 grep -qE 'stored and loaded successfully|Failed to request' "$log"
  grep -E 'acme' "$log" | grep -E '\[(info|warning|error)\]' | cut -c1-300
  grep -q 'stored and loaded successfully' "$log"
}

# What ejabberdctl does, without changing to the service user.
ejabberdctl_() {
  (
    ejabberd_environment
    exec timeout 60 erl -sname ctl@localhost -hidden -noinput -s ejabberd_ctl -extra ejabberd@localhost "$@"
  )
}

# What its peers get to see is the certificate of its own client.
ejabberd_shows() {
  openssl s_client -connect 127.0.2.2:5269 -starttls xmpp-server -xmpphost ejabberd.test -showcerts -CAfile "$ROOT" -verify_return_error </dev/null >"$CLIENTS/ejabberd/shown"
  sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$CLIENTS/ejabberd/shown" >"$1"
}

ejabberd_shows_certificate() {
  ejabberd_shows "$CLIENTS/ejabberd/chain.pem"
  has_names "$CLIENTS/ejabberd/chain.pem" ejabberd.test
}

ejabberd_shows_another() {
  ejabberd_shows "$CLIENTS/ejabberd/chain.pem"
  [ "$(serial_of "$CLIENTS/ejabberd/chain.pem")" != "$(serial_of "$CLIENTS/kept.pem")" ]
}

ejabberd_shows_renewed() {
  wait_for 10 ejabberd_shows_another
  is_renewed "$CLIENTS/ejabberd/chain.pem" ejabberd.test
}

# By the file that it lists.
ejabberd_revokes() {
  ejabberdctl_ list_certificates | tee "$CLIENTS/ejabberd/list"
  ejabberdctl_ revoke_certificate "$(grep -o '/[^[:space:]]*' "$CLIENTS/ejabberd/list" | head -n 1)"
  ocsp_says revoked "$CLIENTS/ejabberd/chain.pem"
  ocsp_says good "$CLIENTS/kept.pem"
}

test_ejabberd() {
  start_ejabberd
  check 'ejabberd: its own ACME client gets a certificate' ejabberd_has_certificate
  check 'ejabberd: shows it to its peers' ejabberd_shows_certificate
  keep "$CLIENTS/ejabberd/chain.pem"
  check 'ejabberdctl request_certificate' ejabberdctl_ request_certificate ejabberd.test
  check 'ejabberd: shows the new one, which is another' ejabberd_shows_renewed
  check 'ejabberdctl list_certificates, revoke_certificate, revoked in OCSP' ejabberd_revokes
  kill "$ejabberd"
}
