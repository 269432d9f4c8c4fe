# Sourced by run.sh. Stock ACME clients from Debian, each with its own domain and, where it listens by itself, its own address.
# DIRECTORY, ROOT, HTTP01_PORT, TXT_URL, CLIENTS (their folder) and E2E (this folder) are set there.
# shellcheck shell=bash disable=SC2034,SC2154

dns_hook=$E2E/dns-hook.sh

lego_() {
  LEGO_CA_CERTIFICATES=$ROOT EXEC_PATH=$dns_hook EXEC_SEQUENCE_INTERVAL=1 EXEC_POLLING_INTERVAL=1 EXEC_PROPAGATION_TIMEOUT=10 \
    timeout 60 lego -a -m admin@lego.test -s "$DIRECTORY" --path "$CLIENTS/lego" "$@"
}
lego_dns=(--dns exec --dns.resolvers "$DNS" --dns.disable-cp)

test_lego() {
  local at=$CLIENTS/lego/certificates address=127.0.5.3
  set_address http.lego.test $address
  check 'lego: http-01' lego_ --http --http.port $address:$HTTP01_PORT -d http.lego.test run
  check 'lego: http-01 certificate' has_names "$at/http.lego.test.crt" http.lego.test
  set_address alpn.lego.test $address
  check 'lego: tls-alpn-01' lego_ --tls --tls.port $address:$TLSALPN01_PORT -d alpn.lego.test run
  check 'lego: tls-alpn-01 certificate' has_names "$at/alpn.lego.test.crt" alpn.lego.test
  check 'lego: dns-01 with a wildcard' lego_ "${lego_dns[@]}" -d dns.lego.test -d '*.dns.lego.test' run
  check 'lego: dns-01 certificate' has_names "$at/dns.lego.test.crt" dns.lego.test '*.dns.lego.test'
  check 'lego: several names' lego_ "${lego_dns[@]}" -d a.lego.test -d b.lego.test -d conference.lego.test run
  check 'lego: several names certificate' has_names "$at/a.lego.test.crt" a.lego.test b.lego.test conference.lego.test
  check 'lego: IDN' lego_ "${lego_dns[@]}" -d xn--bcher-kva.lego.test run
  check 'lego: IDN certificate' has_names "$at/xn--bcher-kva.lego.test.crt" xn--bcher-kva.lego.test
  check 'lego: renew' lego_ "${lego_dns[@]}" -d dns.lego.test renew --no-random-sleep --days 100000
  check 'lego: renewed certificate' has_names "$at/dns.lego.test.crt" dns.lego.test '*.dns.lego.test'
}

dehydrated_() { timeout 60 dehydrated --config "$CLIENTS/dehydrated/config" "$@"; }

test_dehydrated() {
  local at=$CLIENTS/dehydrated
  mkdir -p "$at"
  cat >"$at/config" <<END
CA="$DIRECTORY"
BASEDIR=$at
WELLKNOWN=$WEBROOT/.well-known/acme-challenge
CURL_OPTS="--cacert $ROOT"
KEY_ALGO=prime256v1
CONTACT_EMAIL=admin@dehydrated.test
END
  check 'dehydrated: account' dehydrated_ --register --accept-terms
  check 'dehydrated: http-01' dehydrated_ -c -d http.dehydrated.test -t http-01
  check 'dehydrated: http-01 certificate' has_names "$at/certs/http.dehydrated.test/fullchain.pem" http.dehydrated.test
  check 'dehydrated: dns-01 with a wildcard' dehydrated_ -c -d 'dns.dehydrated.test *.dns.dehydrated.test' -t dns-01 -k "$dns_hook"
  check 'dehydrated: dns-01 certificate' has_names "$at/certs/dns.dehydrated.test/fullchain.pem" dns.dehydrated.test '*.dns.dehydrated.test'
  check 'dehydrated: several names' dehydrated_ -c -d 'a.dehydrated.test b.dehydrated.test c.dehydrated.test' -t http-01
  check 'dehydrated: several names certificate' has_names "$at/certs/a.dehydrated.test/fullchain.pem" {a,b,c}.dehydrated.test
  check 'dehydrated: IDN' dehydrated_ -c -d xn--bcher-kva.dehydrated.test -t dns-01 -k "$dns_hook"
  check 'dehydrated: IDN certificate' has_names "$at/certs/xn--bcher-kva.dehydrated.test/fullchain.pem" xn--bcher-kva.dehydrated.test
  check 'dehydrated: renew' dehydrated_ -c -x -d http.dehydrated.test -t http-01
  check 'dehydrated: revoke' dehydrated_ --revoke "$at/certs/a.dehydrated.test/cert.pem"
  check 'dehydrated: revoked in OCSP' ocsp_says revoked "$at/certs/a.dehydrated.test/fullchain.pem"
}

certbot_() {
  local at=$CLIENTS/certbot
  REQUESTS_CA_BUNDLE=$ROOT timeout 90 certbot "$@" --server "$DIRECTORY" -n --config-dir "$at" --work-dir "$at/work" --logs-dir "$at/log"
}

test_certbot() {
  local at=$CLIENTS/certbot/live address=127.0.5.2 account=(--register-unsafely-without-email --agree-tos)
  local manual=(--manual --preferred-challenges dns --manual-auth-hook "$dns_hook auth" --manual-cleanup-hook "$dns_hook cleanup")
  set_address http.certbot.test $address
  check 'certbot: http-01' certbot_ certonly --standalone --http-01-port $HTTP01_PORT --http-01-address $address -d http.certbot.test "${account[@]}"
  check 'certbot: http-01 certificate' has_names "$at/http.certbot.test/fullchain.pem" http.certbot.test
  check 'certbot: dns-01 with a wildcard' certbot_ certonly "${manual[@]}" -d dns.certbot.test -d '*.dns.certbot.test' "${account[@]}"
  check 'certbot: dns-01 certificate' has_names "$at/dns.certbot.test/fullchain.pem" dns.certbot.test '*.dns.certbot.test'
  check 'certbot: renew' certbot_ renew --force-renewal --cert-name dns.certbot.test --no-random-sleep-on-renew
  check 'certbot: revoke' certbot_ revoke --cert-path "$at/http.certbot.test/fullchain.pem" --reason superseded --no-delete-after-revoke
  check 'certbot: revoked in OCSP' ocsp_says revoked "$at/http.certbot.test/fullchain.pem"
}

# uacme trusts the system's roots and nothing else: see trust_root.
uacme_() { timeout 60 uacme -v -a "$DIRECTORY" -c "$CLIENTS/uacme" "$@"; }

test_uacme() {
  local at=$CLIENTS/uacme
  check 'uacme: account' uacme_ -y new
  check 'uacme: http-01' uacme_ -h "$E2E/webroot-hook.sh" issue http.uacme.test
  check 'uacme: http-01 certificate' has_names "$at/http.uacme.test/cert.pem" http.uacme.test
  check 'uacme: dns-01 with a wildcard' uacme_ -h "$dns_hook" issue dns.uacme.test '*.dns.uacme.test'
  check 'uacme: dns-01 certificate' has_names "$at/dns.uacme.test/cert.pem" dns.uacme.test '*.dns.uacme.test'
  cp "$at/http.uacme.test/cert.pem" "$at/first.pem" || true
  cp "$at/first.pem" "$at/kept.pem" || true # It renames what it has revoked.
  check 'uacme: renew' uacme_ -f -h "$E2E/webroot-hook.sh" issue http.uacme.test
  check 'uacme: revoke' uacme_ revoke "$at/first.pem"
  check 'uacme: revoked in OCSP' ocsp_says revoked "$at/kept.pem"
  check 'uacme: the renewed one is another, and good' ocsp_says good "$at/http.uacme.test/cert.pem"
}

acme_tiny() {
  SSL_CERT_FILE=$ROOT timeout 60 acme-tiny --account-key "$CLIENTS/tiny/account.key" --csr "$CLIENTS/tiny/request.pem" --directory-url "$DIRECTORY" \
    --acme-dir "$WEBROOT/.well-known/acme-challenge" --check-port "$HTTP01_PORT" >"$CLIENTS/tiny/chain.pem"
}

test_acme_tiny() {
  local at=$CLIENTS/tiny
  mkdir -p "$at"
  openssl genrsa -out "$at/account.key" 2048 2>/dev/null
  openssl genrsa -out "$at/domain.key" 2048 2>/dev/null
  openssl req -new -key "$at/domain.key" -subj / -addext subjectAltName=DNS:http.tiny.test -out "$at/request.pem"
  check 'acme-tiny: http-01 with an RSA key' acme_tiny
  check 'acme-tiny: certificate' has_names "$at/chain.pem" http.tiny.test
}

acme_client() { NODE_EXTRA_CA_CERTS=$ROOT node --import tsx "$E2E/acme-client.ts" "$DIRECTORY" "$TXT_URL" "$CLIENTS/acme-client"; }

test_acme_client() {
  local at=$CLIENTS/acme-client
  mkdir -p "$at"
  check 'acme-client (npm): dns-01, profile xmpp-server-3920, IDN, revoke' acme_client
  check 'acme-client: certificate with XmppAddr as U-label' has_xmpp_addr "$at/idn.pem" bücher.npm.test
  check 'acme-client: revoked in OCSP' ocsp_says revoked "$at/revoked.pem"
}

# ejabberd with its own ACME client: http-01 only, no profile, strict about media types. Plain `erl`, without the scripts that want a service user.
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
  printf '{file, resolv, "/etc/resolv.conf"}.\n{lookup, ["dns"]}.\n{host, {127,0,0,1}, ["localhost"]}.\n' >"$at/inetrc"
  (
    ERL_LIBS=$(dirname "$(dirname "$(ls -d /usr/lib/*/ejabberd-*/ebin | head -n 1)")")
    export ERL_LIBS EJABBERD_CONFIG_PATH=$at/ejabberd.yml EJABBERD_LOG_PATH=$at/ejabberd.log ERL_INETRC=$at/inetrc ERL_CRASH_DUMP_BYTES=0 HOME=$at
    # Without the second option it drops log lines in bursts, and the one that is waited for may be among them.
    exec erl -noinput -ejabberd log_burst_limit_count 100000 -mnesia dir "\"$at/spool\"" -s ejabberd
  ) >"$at/out" 2>&1 </dev/null &
  ejabberd=$!
}

ejabberd_has_certificate() {
  local log=$CLIENTS/ejabberd/ejabberd.log
  wait_for 60 grep -qE 'stored and loaded successfully|Failed to request' "$log"
  grep -E 'acme' "$log" | grep -E '\[(info|warning|error)\]' | cut -c1-300
  grep -q 'stored and loaded successfully' "$log"
}

# What its peers get to see is that certificate.
ejabberd_shows_certificate() {
  local at=$CLIENTS/ejabberd
  openssl s_client -connect 127.0.2.2:5269 -starttls xmpp-server -xmpphost ejabberd.test -showcerts -CAfile "$ROOT" -verify_return_error </dev/null >"$at/shown"
  sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$at/shown" >"$at/chain.pem"
  has_names "$at/chain.pem" ejabberd.test
}

test_ejabberd() {
  start_ejabberd
  check 'ejabberd: its own ACME client gets a certificate' ejabberd_has_certificate
  check 'ejabberd: shows it to its peers' ejabberd_shows_certificate
  kill "$ejabberd"
}
