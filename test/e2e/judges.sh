# Sourced by run.sh: what others than OpenSSL's command line think of status: GnuTLS, Java, nginx. OpenSSL is asked beside them, so that each case has every judge.
# The cases: a good certificate, a revoked one, one that this CA never issued although its key signed it, and answers before and after the OCSP responder was replaced.
# shellcheck shell=bash disable=SC2034,SC2154

judges_at() { printf '%s\n' "$WORK/judges"; }

# Makes the certificates of the cases: good.pem, revoked.pem, unknown.pem, each with its chain, and int.pem.
judges_prepare() {
  local at serial
  at=$(judges_at)
  mkdir -p "$at"
  lego_ "${lego_dns[@]}" -d good.judges.test run
  lego_ "${lego_dns[@]}" -d revoked.judges.test run
  for name in good revoked; do
    cp "$CLIENTS/lego/certificates/$name.judges.test.crt" "$at/$name.pem"
    cp "$CLIENTS/lego/certificates/$name.judges.test.key" "$at/$name.key"
  done
  cp "$KEYS/intermediate.pem" "$at/int.pem"
  serial=$(openssl x509 -in "$at/revoked.pem" -noout -serial | sed 's/^serial=//')
  xmpp_ica revoke "$serial" --reason superseded --yes
  wait_for 20 ocsp_says revoked "$at/revoked.pem"
  wait_for 20 is_in_crl "$at/revoked.pem"
  judges_unknown
}

# A certificate with the pointers of a real one, signed by the intermediate's key behind the CA's back.
judges_unknown() {
  local at passphrase
  at=$(judges_at)
  passphrase=${ICA_KEY_PASSPHRASE_FILE:-$FOLDER/ca-keys.passphrase}
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$at/unknown.key" -subj /CN=unknown.judges.test -out "$at/unknown.csr" 2>/dev/null
  {
    echo 'subjectAltName=DNS:unknown.judges.test'
    echo 'extendedKeyUsage=serverAuth,clientAuth'
    echo 'keyUsage=critical,digitalSignature'
    echo 'authorityKeyIdentifier=keyid'
    echo "authorityInfoAccess=OCSP;URI:$(openssl x509 -in "$at/good.pem" -noout -ocsp_uri)"
    echo "crlDistributionPoints=URI:$(uri_in "$at/good.pem" crlDistributionPoints)"
  } >"$at/unknown.ext"
  openssl x509 -req -in "$at/unknown.csr" -CA "$at/int.pem" -CAkey "$KEYS/intermediate.key" -passin "file:$passphrase" -extfile "$at/unknown.ext" -days 30 \
    -set_serial 0x7123456789abcdef0123456789abcdef -out "$at/unknown.leaf"
  cat "$at/unknown.leaf" "$at/int.pem" >"$at/unknown.pem"
}

# openssl_ocsp CASE STATUS [OPTION...]
openssl_ocsp() {
  local at case=$1 status=$2
  at=$(judges_at)
  shift 2
  openssl x509 -in "$at/$case.pem" -out "$at/$case.leaf"
  openssl ocsp -issuer "$at/int.pem" -cert "$at/$case.leaf" -url "$(openssl x509 -in "$at/$case.leaf" -noout -ocsp_uri)" -CAfile "$ROOT" -verify_other "$at/int.pem" \
    -respout "$at/$case.ocsp" "$@" >"$at/$case.openssl" 2>&1 || true
  cat "$at/$case.openssl"
  grep -q 'Response verify OK' "$at/$case.openssl"
  grep -q "$case.leaf: $status" "$at/$case.openssl"
}

# openssl_crl CASE good|revoked: openssl verify -crl_check_all, by the CRLs that the certificates name.
openssl_crl() {
  local at
  at=$(judges_at)
  if [ "$2" = good ]; then verify_chain "$at/$1.pem"; else is_refused_by_crl "$at/$1.pem"; fi
}

# gnutls_ocsp CASE STATUS: ocsptool asks with a nonce, and verifies down to the root that it is told to trust.
gnutls_ocsp() {
  local at
  at=$(judges_at)
  openssl x509 -in "$at/$1.pem" -out "$at/$1.leaf"
  cat "$at/int.pem" "$ROOT" >"$at/trust.pem"
  ocsptool --ask="$(openssl x509 -in "$at/$1.leaf" -noout -ocsp_uri)" --nonce --load-cert "$at/$1.leaf" --load-issuer "$at/int.pem" --load-trust "$at/trust.pem" \
    --outfile "$at/$1.gnutls-ocsp" >"$at/$1.ocsptool" 2>&1 || true
  cat "$at/$1.ocsptool"
  grep -q "Certificate Status: $2" "$at/$1.ocsptool"
  grep -qE 'Verifying OCSP Response: (Success|Verified)' "$at/$1.ocsptool"
}

# gnutls_crl CASE good|revoked: certtool with the lists of leaf and intermediate.
gnutls_crl() {
  local at lists
  at=$(judges_at)
  lists=$at/$1.crls
  : >"$lists"
  openssl x509 -in "$at/$1.pem" -out "$at/$1.leaf"
  fetch_crl "$at/$1.leaf" "$at/int.pem" "$lists"
  certtool --verify --load-ca-certificate "$ROOT" --load-crl "$lists" --infile "$at/$1.pem" >"$at/$1.certtool" 2>&1 || true
  cat "$at/$1.certtool"
  if [ "$2" = good ]; then grep -q 'Chain verification output: Verified' "$at/$1.certtool"; else grep -q 'Not verified.*revoked' "$at/$1.certtool"; fi
}

# The complete list of the intermediate, which no certificate points to, and that of the root: in complete.crls as PEM.
complete_lists() {
  local at id
  at=$(judges_at)
  id=$(openssl x509 -in "$at/int.pem" -noout -ext subjectKeyIdentifier | sed -n 's/[: ]//g; 2p' | cut -c1-16 | tr A-F a-f)
  curl -sf -m 5 "http://status.ica.test/crl/$id.crl" -o "$at/complete.der"
  openssl crl -inform DER -in "$at/complete.der" -out "$at/complete.pem"
  openssl crl -in "$at/complete.pem" -noout -CAfile "$at/int.pem" 2>&1 | tee "$at/complete.verify"
  grep -q 'verify OK' "$at/complete.verify"
  openssl crl -in "$at/complete.pem" -noout -text >"$at/complete.text"
  ! grep -q 'Issuing Distribution Point' "$at/complete.text" || fail 'a complete list with an issuing distribution point'
  cp "$at/complete.pem" "$at/complete.crls"
  fetch_crl "$at/int.pem" "$ROOT" "$at/complete.crls"
}

# openssl_complete CASE good|revoked, gnutls_complete the same: the whole path by the complete lists alone.
openssl_complete() {
  local at
  at=$(judges_at)
  openssl verify -x509_strict -crl_check_all -CRLfile "$at/complete.crls" -CAfile "$ROOT" -untrusted "$at/int.pem" "$at/$1.leaf" >"$at/$1.complete" 2>&1 || true
  cat "$at/$1.complete"
  if [ "$2" = good ]; then grep -q "$1.leaf: OK" "$at/$1.complete"; else grep -q 'error 23 at 0 depth lookup: certificate revoked' "$at/$1.complete"; fi
}

gnutls_complete() {
  local at
  at=$(judges_at)
  certtool --verify --load-ca-certificate "$ROOT" --load-crl "$at/complete.crls" --infile "$at/$1.pem" >"$at/$1.certtool" 2>&1 || true
  cat "$at/$1.certtool"
  if [ "$2" = good ]; then grep -q 'Chain verification output: Verified' "$at/$1.certtool"; else grep -q 'Not verified.*revoked' "$at/$1.certtool"; fi
}

# java_says HOW: one JVM for all cases; what it said is in $WORK/judges/java.HOW
java_says() {
  local at
  at=$(judges_at)
  java "-Dlists=$at/complete.crls" "$E2E/Check.java" "$ROOT" "$1" "$at/good.pem" "$at/revoked.pem" "$at/unknown.pem" >"$at/java.$1" 2>&1
  cat "$at/java.$1"
}

# java_said HOW CASE PATTERN
java_said() {
  cat "$(judges_at)/java.$1"
  grep -qE "^$2\.pem $1 $3" "$(judges_at)/java.$1"
}

start_nginx() {
  local at=$WORK/judges
  mkdir -p "$at/nginx"
  : >"$at/nginx/error.log"
  for name in good revoked unknown; do set_address $name.judges.test 127.0.5.9; done
  cat "$at/int.pem" "$ROOT" >"$at/trust.pem"
  {
    printf 'daemon off; master_process off; pid %s/nginx/pid; error_log %s/nginx/error.log info;\nevents { worker_connections 64; }\nhttp {\n' "$at" "$at"
    printf '  access_log off; resolver 127.0.0.53 ipv6=off; ssl_stapling on; ssl_stapling_verify on; ssl_trusted_certificate %s/trust.pem;\n' "$at"
    for kind in client_body proxy fastcgi uwsgi scgi; do printf '  %s_temp_path %s/nginx/%s;\n' $kind "$at" $kind; done
    for name in good revoked unknown; do
      printf '  server { listen 127.0.5.9:443 ssl; server_name %s.judges.test; ssl_certificate %s/%s.pem; ssl_certificate_key %s/%s.key; return 204; }\n' \
        $name "$at" $name "$at" $name
    done
    echo '}'
  } >"$at/nginx.conf"
  nginx -c "$at/nginx.conf" >"$at/nginx.out" 2>&1 </dev/null &
  nginx=$!
}

# staple_of CASE: what nginx staples. It asks when the first client comes, which therefore gets none.
staple_of() {
  openssl s_client -connect 127.0.5.9:443 -servername "$1.judges.test" -status -CAfile "$ROOT" </dev/null 2>/dev/null >"$WORK/judges/staple.$1"
  grep -E 'OCSP response: no|Cert Status' "$WORK/judges/staple.$1"
}

nginx_is_good() { staple_of good | grep -q 'Cert Status: good'; }

nginx_staples_good() {
  wait_for 10 nginx_is_good
  # Whoever insists gets it, too: GnuTLS fails without a staple that it believes.
  gnutls-cli --x509cafile "$ROOT" -p 443 --sni-hostname good.judges.test --verify-hostname good.judges.test 127.0.5.9 </dev/null >"$WORK/judges/gnutls-cli" 2>&1 || true
  cat "$WORK/judges/gnutls-cli"
  grep -q 'Status: The certificate is trusted' "$WORK/judges/gnutls-cli"
  # What it prints only of a staple that it has read: the other server of this nginx is the proof.
  grep -q 'Options:.*OCSP status request' "$WORK/judges/gnutls-cli"
  gnutls-cli --x509cafile "$ROOT" -p 443 --sni-hostname revoked.judges.test --verify-hostname revoked.judges.test 127.0.5.9 </dev/null >"$WORK/judges/gnutls-cli.revoked" 2>&1 || true
  cat "$WORK/judges/gnutls-cli.revoked"
  ! grep -q 'Options:.*OCSP status request' "$WORK/judges/gnutls-cli.revoked" || fail 'said of a server without a staple, too'
}

# nginx_never_staples CASE: nginx refuses to staple what does not say good.
nginx_never_staples() {
  staple_of "$1" || true
  sleep 1
  staple_of "$1" || true
  grep -q 'OCSP response: no' "$WORK/judges/staple.$1" || fail "$(cat "$WORK/judges/staple.$1")"
  grep -q "certificate status \"$1\"" "$WORK/judges/nginx/error.log" || fail "$(tail -n 5 "$WORK/judges/nginx/error.log")"
}

stop_nginx() {
  kill "$nginx"
  wait "$nginx" 2>/dev/null || true
}

# An nginx that starts after the rotation has what the new responder signed, and believes it.
nginx_staples_rotated() {
  local now
  wait_for 10 nginx_is_good
  now=$(sed -n 's/^ *Responder Id: *//p' "$WORK/judges/staple.good")
  echo "$now"
  [ -n "$now" ]
  [ "$now" = "$(responder_in "$WORK/judges/good.ocsp")" ]
  [ "$now" != "$(responder_in "$WORK/judges/before.ocsp")" ]
}

# responder_in FILE: who signed an OCSP answer, by its key identifier.
responder_in() { openssl ocsp -respin "$1" -noverify -resp_text 2>/dev/null | sed -n 's/^ *Responder Id: *//p'; }

# is_another FILE KEY: the answer is signed, and not by that responder.
is_another() {
  local key
  key=$(responder_in "$1")
  [ -n "$key" ] && [ "$key" != "$2" ]
}

signs_with_another() { openssl_ocsp good good -nonce >/dev/null && is_another "$(judges_at)/good.ocsp" "$1"; }

# A new responder signs within seconds, without a restart; what the old one has signed still verifies.
rotate_responder() {
  local at before
  at=$(judges_at)
  openssl_ocsp good good -nonce
  cp "$at/good.ocsp" "$at/before.ocsp"
  before=$(responder_in "$at/before.ocsp")
  [ -n "$before" ]
  xmpp_ica responder rotate
  xmpp_ica responder list
  wait_for 20 signs_with_another "$before"
  echo "before: $before, now: $(responder_in "$at/good.ocsp")"
}

# Answers that are cached, too: what is asked for without a nonce no longer comes from the old one.
rotated_everywhere() {
  local at
  at=$(judges_at)
  openssl_ocsp good good -no_nonce
  is_another "$at/good.ocsp" "$(responder_in "$at/before.ocsp")"
}

old_answer_verifies() {
  local at
  at=$(judges_at)
  openssl ocsp -respin "$at/before.ocsp" -issuer "$at/int.pem" -cert "$at/good.leaf" -CAfile "$ROOT" -verify_other "$at/int.pem" -no_nonce 2>&1 | tee "$at/before.openssl"
  grep -q 'Response verify OK' "$at/before.openssl"
  ocsptool --verify-response --load-response "$at/before.ocsp" --load-trust "$at/trust.pem" 2>&1 | tee "$at/before.ocsptool"
  grep -qE '(Success|Verified)' "$at/before.ocsptool"
}

test_judges() {
  check 'judges: certificates for the cases' judges_prepare
  start_nginx
  local case how
  for case in good revoked unknown; do
    check "judges: openssl ocsp, $case" openssl_ocsp $case $case
    check "judges: GnuTLS ocsptool, $case" gnutls_ocsp $case $case
  done
  for case in good revoked; do
    check "judges: openssl verify -crl_check_all, $case" openssl_crl $case $case
    check "judges: GnuTLS certtool by CRL, $case" gnutls_crl $case $case
  done
  check 'judges: the complete list' complete_lists
  for case in good revoked; do
    check "judges: openssl verify by the complete list, $case" openssl_complete $case $case
    check "judges: GnuTLS certtool by the complete list, $case" gnutls_complete $case $case
  done
  check 'judges: Java PKIX, OCSP' java_says ocsp
  check 'judges: Java PKIX, OCSP, good' java_said ocsp good VALID
  check 'judges: Java PKIX, OCSP, revoked' java_said ocsp revoked 'REVOKED: .*SUPERSEDED'
  check 'judges: Java PKIX, OCSP, unknown' java_said ocsp unknown 'UNDETERMINED_REVOCATION_STATUS: .* is unknown'
  for how in crl lists; do
    check "judges: Java PKIX, $how" java_says $how
    check "judges: Java PKIX, $how, good" java_said $how good VALID
    check "judges: Java PKIX, $how, revoked" java_said $how revoked 'REVOKED: .*SUPERSEDED'
  done
  check 'judges: nginx staples a good answer' nginx_staples_good
  check 'judges: nginx never staples revoked' nginx_never_staples revoked
  check 'judges: nginx never staples unknown' nginx_never_staples unknown
  check 'judges: a new OCSP responder without a restart' rotate_responder
  check 'judges: rotated, openssl, also what was cached' rotated_everywhere
  check 'judges: rotated, what the old one signed verifies' old_answer_verifies
  for case in good revoked unknown; do check "judges: rotated, GnuTLS ocsptool, $case" gnutls_ocsp $case $case; done
  check 'judges: rotated, Java PKIX' java_says ocsp
  check 'judges: rotated, Java PKIX, good' java_said ocsp good VALID
  check 'judges: rotated, Java PKIX, revoked' java_said ocsp revoked 'REVOKED: .*SUPERSEDED'
  check 'judges: rotated, Java PKIX, unknown' java_said ocsp unknown 'UNDETERMINED_REVOCATION_STATUS: .* is unknown'
  stop_nginx
  start_nginx
  check 'judges: rotated, nginx staples good' nginx_staples_rotated
  for case in revoked unknown; do check "judges: rotated, nginx never staples $case" nginx_never_staples $case; done
  stop_nginx
}
