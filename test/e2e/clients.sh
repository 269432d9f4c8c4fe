# Sourced by run.sh. Stock ACME clients from Debian, each with its own domain and, where it listens by itself, its own address.
# DIRECTORY, ROOT, HTTP01_PORT, TXT_URL, CLIENTS (their folder) and E2E (this folder) are set there.
# Each gets certificates by every challenge that it supports, renews one, and revokes one.
# shellcheck shell=bash disable=SC2034,SC2154

dns_hook=$E2E/dns-hook.sh

# keep FILE: a client may write over what it renews, and rename what it revokes.
keep() { cp -L "$1" "$CLIENTS/kept.pem" || failed=$((failed + 1)); }
serial_of() { openssl x509 -in "$1" -noout -serial; }

# is_renewed CHAIN NAME...: another certificate than the kept one, which is still good.
is_renewed() {
  echo "$(serial_of "$CLIENTS/kept.pem"), then $(serial_of "$1")"
  [ "$(serial_of "$CLIENTS/kept.pem")" != "$(serial_of "$1")" ] || fail 'the same certificate as before'
  has_names "$@"
  ocsp_says good "$CLIENTS/kept.pem"
}

# The kept one is revoked, and no other.
only_kept_is_revoked() {
  ocsp_says revoked "$CLIENTS/kept.pem"
  ocsp_says good "$1"
}

lego_() {
  LEGO_CA_CERTIFICATES=$ROOT EXEC_PATH=$dns_hook EXEC_SEQUENCE_INTERVAL=1 EXEC_POLLING_INTERVAL=1 EXEC_PROPAGATION_TIMEOUT=10 \
    timeout 90 lego -a -m admin@lego.test -s "$DIRECTORY" --path "$CLIENTS/lego" "$@"
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
  keep "$at/dns.lego.test.crt"
  check 'lego: renew' lego_ "${lego_dns[@]}" -d dns.lego.test renew --no-random-sleep --days 100000
  check 'lego: the renewed certificate is another' is_renewed "$at/dns.lego.test.crt" dns.lego.test '*.dns.lego.test'
  keep "$at/alpn.lego.test.crt"
  check 'lego: revoke' lego_ -d alpn.lego.test revoke --keep
  check 'lego: revoked in OCSP' only_kept_is_revoked "$at/dns.lego.test.crt"
}

# It waits by `sleep` for whole seconds where the CA takes a tenth of one.
dehydrated_() (
  sleep() { command sleep 0.1; }
  export -f sleep
  exec timeout 180 dehydrated --config "$CLIENTS/dehydrated/config" "$@"
)

dehydrated_config() {
  local at=$CLIENTS/dehydrated
  mkdir -p "$at"
  cat >"$at/config" <<END
CA="$DIRECTORY"
BASEDIR=$at
WELLKNOWN=$WEBROOT/.well-known/acme-challenge
ALPNCERTDIR=$ALPN_FOLDER
CURL_OPTS="--cacert $ROOT"
KEY_ALGO=prime256v1
CONTACT_EMAIL=admin@dehydrated.test
END
}

test_dehydrated() {
  local at=$CLIENTS/dehydrated
  dehydrated_config
  check 'dehydrated: account' dehydrated_ --register --accept-terms
  check 'dehydrated: http-01' dehydrated_ -c -d http.dehydrated.test -t http-01
  check 'dehydrated: http-01 certificate' has_names "$at/certs/http.dehydrated.test/fullchain.pem" http.dehydrated.test
  check 'dehydrated: tls-alpn-01' dehydrated_ -c -d alpn.dehydrated.test -t tls-alpn-01
  check 'dehydrated: tls-alpn-01 certificate' has_names "$at/certs/alpn.dehydrated.test/fullchain.pem" alpn.dehydrated.test
  check 'dehydrated: dns-01 with a wildcard' dehydrated_ -c -d 'dns.dehydrated.test *.dns.dehydrated.test' -t dns-01 -k "$dns_hook"
  check 'dehydrated: dns-01 certificate' has_names "$at/certs/dns.dehydrated.test/fullchain.pem" dns.dehydrated.test '*.dns.dehydrated.test'
  check 'dehydrated: several names' dehydrated_ -c -d 'a.dehydrated.test b.dehydrated.test c.dehydrated.test' -t http-01
  check 'dehydrated: several names certificate' has_names "$at/certs/a.dehydrated.test/fullchain.pem" {a,b,c}.dehydrated.test
  check 'dehydrated: IDN' dehydrated_ -c -d xn--bcher-kva.dehydrated.test -t dns-01 -k "$dns_hook"
  check 'dehydrated: IDN certificate' has_names "$at/certs/xn--bcher-kva.dehydrated.test/fullchain.pem" xn--bcher-kva.dehydrated.test
  keep "$at/certs/http.dehydrated.test/fullchain.pem"
  check 'dehydrated: renew' dehydrated_ -c -x -d http.dehydrated.test -t http-01
  check 'dehydrated: the renewed certificate is another' is_renewed "$at/certs/http.dehydrated.test/fullchain.pem" http.dehydrated.test
  keep "$at/certs/a.dehydrated.test/fullchain.pem"
  check 'dehydrated: revoke' dehydrated_ --revoke "$at/certs/a.dehydrated.test/cert.pem"
  check 'dehydrated: revoked in OCSP' only_kept_is_revoked "$at/certs/http.dehydrated.test/fullchain.pem"
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
  keep "$at/dns.certbot.test/fullchain.pem"
  check 'certbot: renew' certbot_ renew --force-renewal --cert-name dns.certbot.test --no-random-sleep-on-renew
  check 'certbot: the renewed certificate is another' is_renewed "$at/dns.certbot.test/fullchain.pem" dns.certbot.test '*.dns.certbot.test'
  keep "$at/http.certbot.test/fullchain.pem"
  check 'certbot: revoke' certbot_ revoke --cert-path "$at/http.certbot.test/fullchain.pem" --reason superseded --no-delete-after-revoke
  check 'certbot: revoked in OCSP' only_kept_is_revoked "$at/dns.certbot.test/fullchain.pem"
}

# uacme trusts the system's roots and nothing else: see trust_root.
uacme_() { timeout 90 uacme -v -a "$DIRECTORY" -c "$CLIENTS/uacme" "$@"; }

# The responder that comes with it. What is no challenge it would hand to the server that -c names: there is none.
start_ualpn() {
  export UALPN=$CLIENTS/uacme/ualpn.sock
  mkdir -p "$CLIENTS/uacme"
  ualpn -v -b "127.0.5.4@$TLSALPN01_PORT" -c 127.0.5.4@1 -n 1 -s "$UALPN" -p "$CLIENTS/uacme/ualpn.pid" >"$CLIENTS/uacme/ualpn.log" 2>&1 </dev/null &
  ualpn=$!
  set_address alpn.uacme.test 127.0.5.4
}

test_uacme() {
  local at=$CLIENTS/uacme
  start_ualpn
  check 'uacme: account' uacme_ -y new
  check 'uacme: http-01' uacme_ -h "$E2E/webroot-hook.sh" issue http.uacme.test
  check 'uacme: http-01 certificate' has_names "$at/http.uacme.test/cert.pem" http.uacme.test
  check 'uacme: tls-alpn-01 by ualpn' uacme_ -h "$E2E/alpn-hook.sh" issue alpn.uacme.test
  check 'uacme: tls-alpn-01 certificate' has_names "$at/alpn.uacme.test/cert.pem" alpn.uacme.test
  kill "$ualpn"
  check 'uacme: dns-01 with a wildcard' uacme_ -h "$dns_hook" issue dns.uacme.test '*.dns.uacme.test'
  check 'uacme: dns-01 certificate' has_names "$at/dns.uacme.test/cert.pem" dns.uacme.test '*.dns.uacme.test'
  keep "$at/http.uacme.test/cert.pem"
  check 'uacme: renew' uacme_ -f -h "$E2E/webroot-hook.sh" issue http.uacme.test
  check 'uacme: the renewed certificate is another' is_renewed "$at/http.uacme.test/cert.pem" http.uacme.test
  cp "$CLIENTS/kept.pem" "$at/first.pem"
  check 'uacme: revoke' uacme_ revoke "$at/first.pem"
  check 'uacme: revoked in OCSP' only_kept_is_revoked "$at/http.uacme.test/cert.pem"
}

acme_tiny() {
  SSL_CERT_FILE=$ROOT timeout 60 acme-tiny --account-key "$CLIENTS/tiny/account.key" --csr "$CLIENTS/tiny/request.pem" --directory-url "$DIRECTORY" \
    --acme-dir "$WEBROOT/.well-known/acme-challenge" --check-port "$HTTP01_PORT" >"$CLIENTS/tiny/chain.pem"
}

test_acme_tiny() {
  local at=$CLIENTS/tiny
  mkdir -p "$at"
  openssl genrsa -out "$at/account.key" 2048 2>/dev/null
  tiny_request "$at/first.key"
  check 'acme-tiny: http-01 with an RSA key' acme_tiny
  check 'acme-tiny: certificate' has_names "$at/chain.pem" http.tiny.test
  keep "$at/chain.pem"
  tiny_request "$at/second.key"
  check 'acme-tiny: renew, with another key' acme_tiny
  check 'acme-tiny: the renewed certificate is another' is_renewed "$at/chain.pem" http.tiny.test
  # It has no command for that.
  check 'acme-tiny: certbot revokes, with the key of the certificate alone' certbot_ revoke --cert-path "$CLIENTS/kept.pem" --key-path "$at/first.key" --no-delete-after-revoke
  check 'acme-tiny: revoked in OCSP' only_kept_is_revoked "$at/chain.pem"
}

tiny_request() {
  openssl genrsa -out "$1" 2048 2>/dev/null
  openssl req -new -key "$1" -subj / -addext subjectAltName=DNS:http.tiny.test -out "$CLIENTS/tiny/request.pem"
}

acme_client() { NODE_EXTRA_CA_CERTS=$ROOT node --import tsx "$E2E/acme-client.ts" "$DIRECTORY" "$TXT_URL" "$WEBROOT" "$ALPN_FOLDER" "$CLIENTS/acme-client"; }

test_acme_client() {
  local at=$CLIENTS/acme-client
  mkdir -p "$at"
  check 'acme-client (npm): each challenge, profile xmpp-server-3920, IDN, renew, revoke' acme_client
  check 'acme-client: dns-01, certificate with XmppAddr as U-label' has_xmpp_addr "$at/idn.pem" bücher.npm.test
  check 'acme-client: http-01 certificate' has_names "$at/http.pem" http.npm.test
  check 'acme-client: tls-alpn-01 certificate' has_names "$at/alpn.pem" alpn.npm.test
  check 'acme-client: the renewed certificate' has_names "$at/renewed.pem" second.npm.test third.npm.test
  keep "$at/revoked.pem"
  check 'acme-client: revoked in OCSP' only_kept_is_revoked "$at/renewed.pem"
}
