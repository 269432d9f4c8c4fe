# Sourced by run.sh: what OpenSSL thinks of certificates, CRLs and OCSP answers. Everything is fetched from the addresses that the certificates name.
# shellcheck shell=bash disable=SC2034,SC2154

# split_chain CHAIN FOLDER: leaf.pem, and rest.pem with what follows it.
split_chain() {
  mkdir -p "$2"
  openssl x509 -in "$1" -out "$2/leaf.pem"
  awk '/-----BEGIN CERTIFICATE-----/ { n++ } n > 1' "$1" >"$2/rest.pem"
}

uri_in() { openssl x509 -in "$1" -noout -ext "$2" | grep -o 'URI:[^,[:space:]]*' | sed 's/^URI://' | grep "${3:-}"; }

# fetch_crl CERTIFICATE ISSUER FILE: the CRL that the certificate names, checked with its issuer's key, as PEM added to FILE.
fetch_crl() {
  local url
  url=$(uri_in "$1" crlDistributionPoints)
  echo "CRL $url"
  curl -sf -m 5 -D "$3.headers" "$url" -o "$3.der"
  grep -qi '^content-type: application/pkix-crl' "$3.headers"
  openssl crl -inform DER -in "$3.der" -out "$3.one"
  openssl crl -in "$3.one" -noout -CAfile "$2" 2>&1 | tee "$3.verify"
  grep -q 'verify OK' "$3.verify"
  openssl crl -in "$3.one" -noout -crlnumber -lastupdate -nextupdate
  cat "$3.one" >>"$3"
}

# verify_chain CHAIN: strict, both purposes, with the CRLs of leaf and intermediate.
verify_chain() {
  local at
  at=$(mktemp -d "$WORK/verify.XXXX")
  split_chain "$1" "$at"
  [ -s "$at/rest.pem" ] || cp "$KEYS/intermediate.pem" "$at/rest.pem"
  fetch_crl "$at/leaf.pem" "$at/rest.pem" "$at/crls.pem"
  fetch_crl "$at/rest.pem" "$ROOT" "$at/crls.pem"
  for purpose in sslserver sslclient; do
    openssl verify -x509_strict -policy_check -crl_check_all -CRLfile "$at/crls.pem" -CAfile "$ROOT" -untrusted "$at/rest.pem" -purpose $purpose "$at/leaf.pem"
  done
}

# san_of CERTIFICATE: one name a line, as DNS:…, SRVName:…, XmppAddr:…
san_of() {
  openssl x509 -in "$1" -noout -ext subjectAltName -nameopt utf8 | tail -n +2 | tr ',' '\n' |
    sed -E 's/^[[:space:]]*//; s/^othername:[[:space:]]*//; s/^(SRVName|XmppAddr)::/\1:/' | sort
}

# has_names CHAIN NAME...: exactly these dNSNames and their SRVNames, lower-case; the chain verifies; the status is good.
has_names() {
  local chain=$1 name at
  shift
  at=$(mktemp -d "$WORK/names.XXXX")
  for name in "$@"; do
    echo "DNS:$name"
    case $name in
      \**) ;;
      *) printf 'SRVName:_xmpp-%s.%s\n' client "$name" server "$name" ;;
    esac
  done | sort >"$at/expected"
  # A wildcard may stand in an SRVName too; the names above are the ones that have to be there.
  san_of "$chain" | grep -v '^SRVName:_xmpp-[a-z]*\.\*\.' >"$at/found"
  diff "$at/expected" "$at/found"
  openssl x509 -in "$chain" -noout -text | grep -A1 -E 'Key Usage|Extended Key Usage' | tee "$at/usage"
  grep -q 'Digital Signature' "$at/usage"
  grep -q 'TLS Web Server Authentication, TLS Web Client Authentication' "$at/usage"
  verify_chain "$chain"
  ocsp_says good "$chain"
}

has_xmpp_addr() {
  san_of "$1" >"$WORK/san"
  cat "$WORK/san"
  # OpenSSL prints what is not ASCII as it stands, or as escapes: compare the bytes.
  openssl x509 -in "$1" -outform DER | LC_ALL=C grep -qaF "$2"
  verify_chain "$1"
}

# ocsp_says STATUS CHAIN: by POST with a nonce, by POST without, and by GET; each answer checked against the root alone.
ocsp_says() {
  local status=$1 at url
  at=$(mktemp -d "$WORK/ocsp.XXXX")
  split_chain "$2" "$at"
  [ -s "$at/rest.pem" ] || cp "$KEYS/intermediate.pem" "$at/rest.pem"
  url=$(openssl x509 -in "$at/leaf.pem" -noout -ocsp_uri)
  local ask=(openssl ocsp -issuer "$at/rest.pem" -cert "$at/leaf.pem" -CAfile "$ROOT" -verify_other "$at/rest.pem")
  "${ask[@]}" -url "$url" >"$at/nonce" 2>&1 || fail "$(cat "$at/nonce")"
  "${ask[@]}" -url "$url" -no_nonce >"$at/plain" 2>&1 || fail "$(cat "$at/plain")"
  "${ask[@]}" -no_nonce -reqout "$at/request.der" >/dev/null 2>&1
  curl -sf -m 5 -D "$at/headers" "$url/$(base64 -w0 "$at/request.der" | sed 's/+/%2B/g; s,/,%2F,g; s/=/%3D/g')" -o "$at/answer.der"
  grep -qi '^content-type: application/ocsp-response' "$at/headers" || fail "$(cat "$at/headers")"
  grep -qi '^cache-control: .*max-age=' "$at/headers" || fail "no max-age: $(cat "$at/headers")"
  "${ask[@]}" -no_nonce -respin "$at/answer.der" >"$at/get" 2>&1 || fail "$(cat "$at/get")"
  for way in nonce plain get; do
    cat "$at/$way"
    grep -q 'Response verify OK' "$at/$way" || fail "$way: not verified"
    grep -q "leaf.pem: $status" "$at/$way" || fail "$way: not $status"
    ! grep -q 'WARNING' "$at/$way" || fail "$way: a warning"
  done
  ! grep -q 'Nonce' <(openssl ocsp -respin "$at/answer.der" -noverify -resp_text) || fail 'a nonce in a cacheable answer'
}

# is_refused_by_crl CHAIN: openssl verify says that it is revoked.
is_refused_by_crl() {
  ! verify_chain "$1" >"$WORK/refused" 2>&1 || fail 'still verifies'
  grep -q 'error 23 at 0 depth lookup: certificate revoked' "$WORK/refused" || fail "$(cat "$WORK/refused")"
}

crl_number() {
  curl -sf -m 5 "$(uri_in "$1" crlDistributionPoints)" -o "$WORK/number.der"
  printf '%d\n' "$(openssl crl -inform DER -in "$WORK/number.der" -noout -crlnumber | sed 's/^crlNumber=//')"
}

lego_revokes() { lego_ -d http.lego.test revoke; }

# A revocation shows in OCSP at once and in the CRL soon after, under a higher number.
revoked_everywhere() {
  local chain=$CLIENTS/lego/certificates/http.lego.test.crt before
  cp "$chain" "$WORK/revoked.pem"
  before=$(crl_number "$WORK/revoked.pem")
  ocsp_says good "$WORK/revoked.pem"
  lego_revokes
  ocsp_says revoked "$WORK/revoked.pem"
  wait_for 20 is_in_crl "$WORK/revoked.pem"
  [ "$(crl_number "$WORK/revoked.pem")" -gt "$before" ] || fail "the CRL number stayed at $before"
}

is_in_crl() {
  local serial
  serial=$(openssl x509 -in "$1" -noout -serial | sed 's/^serial=//')
  curl -sf -m 5 "$(uri_in "$1" crlDistributionPoints)" -o "$WORK/in.der"
  openssl crl -inform DER -in "$WORK/in.der" -noout -text | grep -q "Serial Number: $serial"
}

# What was never issued is not good, and what another CA issued is none of our business.
unknown_in_ocsp() {
  local at url
  at=$(mktemp -d "$WORK/unknown.XXXX")
  split_chain "$WORK/revoked.pem" "$at"
  url=$(openssl x509 -in "$at/leaf.pem" -noout -ocsp_uri)
  openssl ocsp -issuer "$at/rest.pem" -serial 0x123456789abcdef0123456789abcdef -url "$url" -CAfile "$ROOT" >"$at/answer" 2>&1
  cat "$at/answer"
  grep -q ': unknown' "$at/answer"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$at/other.key" -out "$at/other.pem" -subj '/CN=other' 2>/dev/null
  openssl ocsp -issuer "$at/other.pem" -serial 1 -url "$url" -CAfile "$ROOT" >"$at/answer" 2>&1 || true
  cat "$at/answer"
  grep -qi 'unauthorized' "$at/answer"
  printf 'no OCSP request' | curl -s -m 5 --data-binary @- -H 'content-type: application/ocsp-request' "$url" -o "$at/answer.der"
  openssl ocsp -respin "$at/answer.der" -noverify -resp_text >"$at/answer" 2>&1 || true
  cat "$at/answer"
  grep -qi 'malformed' "$at/answer"
}

# The certificates of the CA: what AIA names is the issuer itself; keys are encrypted and nobody else's to read.
hierarchy() {
  local at
  at=$(mktemp -d "$WORK/hierarchy.XXXX")
  fetch_crl "$KEYS/intermediate.pem" "$ROOT" "$at/crl.pem"
  openssl verify -x509_strict -crl_check -CRLfile "$at/crl.pem" -CAfile "$ROOT" "$KEYS/intermediate.pem"
  [ "$(stat -c %a "$KEYS")" = 700 ]
  for name in root intermediate; do
    [ "$(stat -c %a "$KEYS/$name.key")" = 600 ]
    grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "$KEYS/$name.key"
  done
  openssl x509 -in "$KEYS/intermediate.pem" -noout -text | tee "$at/text"
  grep -q 'CA:TRUE, pathlen:0' "$at/text"
  curl -sf -m 5 "$(uri_in "$KEYS/intermediate.pem" authorityInfoAccess '/ca/')" -o "$at/root.der"
  cmp "$at/root.der" <(openssl x509 -in "$ROOT" -outform DER)
}

# The fingerprint that the start printed is the one to compare by; what the page shows comes from /api/ca.
fingerprint_is_shown() {
  local plain
  plain=$(openssl x509 -in "$ROOT" -noout -fingerprint -sha256 | sed 's/.*=//')
  echo "$plain"
  tr -d ':[:space:]' <"$FOLDER/start.txt" | grep -qi "${plain//:/}"
  curl -sf -m 5 --cacert "$ROOT" https://ica.test/api/ca | grep -qF "$plain"
  curl -sf -m 5 --cacert "$ROOT" https://ica.test/ | grep -qi '<!doctype html>'
}
