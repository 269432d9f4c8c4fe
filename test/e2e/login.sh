# Sourced by run.sh: users log in with certificates of the user CA, at Debian's Prosody (mod_auth_ccert) and ejabberd. Uses the functions of federation.sh with a folder of
# its own, and starts the CA again, because it takes a new user CA when it starts.
# UPDATE=1 writes what was observed into docs/compatibility.md instead of comparing.
# shellcheck shell=bash disable=SC2034,SC2154

login_user_ca() {
  xmpp_ica user init | tee "$FED/init.txt"
  [ "$(stat -c %a "$KEYS/users")" = 700 ]
  grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "$KEYS/users/root.key"
  grep -q 'BEGIN ENCRYPTED PRIVATE KEY' "$KEYS/users/intermediate.key"
  openssl verify -x509_strict -CAfile "$KEYS/users/root.pem" "$KEYS/users/intermediate.pem"
  ! openssl verify -CAfile "$ROOT" "$KEYS/users/intermediate.pem" || fail 'the server root stands above the user CA'
  openssl x509 -in "$KEYS/users/intermediate.pem" -noout -ext extendedKeyUsage | tee "$FED/usage"
  grep -q 'TLS Web Client Authentication' "$FED/usage"
  ! grep -q 'Server' "$FED/usage" || fail 'good for a server'
  # Twice changes nothing.
  sha256sum "$KEYS"/users/* >"$FED/sums"
  xmpp_ica user init
  sha256sum -c "$FED/sums"
}

login_certificates() {
  local jid
  # Side by side: whoever issues by hand on several machines does so too.
  export -f xmpp_ica
  printf '%s\n' {juliet,nurse}@{login.p,login.e}.test juliet@elsewhere.test juliet@bücher.{p,e}.test | xargs -P 4 -I '{}' bash -c 'xmpp_ica user issue "$1" --out "$2"' - '{}' "$FED/issued"
  # What a file is called is safe for every file system: here as the test wants it.
  for jid in "$FED"/issued/*; do cp "$jid" "$FED/certs/$(basename "$jid" | sed 's/%C3%BC/ü/')"; done
  for site in p e; do
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$FED/certs/csr-login.$site.test.key" -subj /CN=romeo -out "$FED/romeo.csr" 2>/dev/null
    xmpp_ica user issue "romeo@login.$site.test" --csr "$FED/romeo.csr" >"$FED/certs/csr-login.$site.test.pem"
    cp "$CLIENTS/lego/certificates/login.$site.test.crt" "$FED/certs/login.$site.test.pem"
    cp "$CLIENTS/lego/certificates/login.$site.test.key" "$FED/certs/login.$site.test.key"
    cp "$FED/certs/login.$site.test.pem" "$FED/certs/$IDN.$site.test.pem"
    cp "$FED/certs/login.$site.test.key" "$FED/certs/$IDN.$site.test.key"
  done
  ICA_KEYS=$KEYS PASSPHRASE_FILE=$FOLDER/ca-keys.passphrase fed_script login-certificates.ts "$FED/certs" login.p.test login.e.test
  san_of "$FED/certs/juliet@login.p.test.pem" | tee "$FED/names"
  [ "$(cat "$FED/names")" = XmppAddr:juliet@login.p.test ]
  xmpp_ica user list | tee "$FED/list"
  grep -q 'juliet@bücher.p.test' "$FED/list"
  ! xmpp_ica user issue 'juliet@login.p.test/phone' --out "$FED/none" || fail 'issued for a full JID'
  [ ! -e "$FED/none" ]
}

login_lego() {
  for site in p e; do lego_ "${lego_dns[@]}" -d "login.$site.test" -d "$IDN.$site.test" run; done
}

# The lists and the answers of the user CA, by what its certificates point to; the server root is good for none of it, and no purpose but that of a client.
login_status() {
  local at=$FED/status chain=$FED/certs/juliet@login.p.test.pem
  split_chain "$chain" "$at"
  curl -sf -m 5 http://status.ica.test/ca/user-root.pem | cmp - "$KEYS/users/root.pem"
  curl -sf -m 5 --cacert "$ROOT" https://ica.test/api/ca | grep -qF "$(openssl x509 -in "$KEYS/users/root.pem" -noout -fingerprint -sha256 | sed 's/.*=//')"
  (
    ROOT=$KEYS/users/root.pem
    ocsp_says good "$chain"
    wait_for 20 fetch_crl "$at/leaf.pem" "$at/rest.pem" "$at/crls.pem"
    fetch_crl "$at/rest.pem" "$ROOT" "$at/crls.pem"
    openssl verify -x509_strict -crl_check_all -CRLfile "$at/crls.pem" -CAfile "$ROOT" -untrusted "$at/rest.pem" -purpose sslclient "$at/leaf.pem"
    ! openssl verify -CAfile "$ROOT" -untrusted "$at/rest.pem" -purpose sslserver "$at/leaf.pem" || fail 'good for a server'
  )
  ! openssl verify -CAfile "$ROOT" -untrusted "$at/rest.pem" "$at/leaf.pem" || fail 'the server root stands above a user'
}

login_revoked() {
  local site chain
  for site in p e; do xmpp_ica user revoke "nurse@login.$site.test" --reason cessationOfOperation; done
  for site in p e; do
    chain=$FED/certs/nurse@login.$site.test.pem
    ROOT=$KEYS/users/root.pem wait_for 20 ocsp_says revoked "$chain"
    wait_for 20 is_in_crl "$chain"
  done
}

# As for servers (federation.sh): the complete lists of the intermediate and of the root.
login_crl_file() {
  local name id
  cp "$KEYS/users/root.pem" "$FED/users-and-crls.pem"
  for name in intermediate root; do
    id=$(openssl x509 -in "$KEYS/users/$name.pem" -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d ' :' | tr A-F a-f | cut -c1-16)
    curl -sf -m 5 "http://status.ica.test/crl/$id.crl" | openssl crl -inform DER >>"$FED/users-and-crls.pem"
  done
}

login_matrix() {
  PROSODY_VERSION=$(fed_versions prosody) EJABBERD_VERSION=$(fed_versions ejabberd) fed_script login-matrix.ts "$ROOT" "$FED" "$HOME_OF_ICA/docs/compatibility.md"
}

# The user CA is beside the other, not in its way.
login_servers_unchanged() {
  lego_ "${lego_dns[@]}" -d login.p.test -d $IDN.p.test renew --no-random-sleep --days 100000
  has_names "$CLIENTS/lego/certificates/login.p.test.crt" login.p.test $IDN.p.test
}

test_login() {
  FED=$WORK/login
  mkdir -p "$FED/certs"
  fed_dns
  check 'login: the server certificates by lego' login_lego
  check 'user init: a root and an intermediate of their own' login_user_ca
  check 'user issue, list: keys made here and CSRs' login_certificates
  check 'login: SIGTERM, the CA takes the user CA at its start' stop_server
  start_server sqlite
  check 'login: the CA is up again' wait_until_ready 20
  check 'user CA: OCSP, CRLs, certificates, purposes' login_status
  check 'user revoke: OCSP and CRL' login_revoked
  check 'server certificates are still signed by the server CA' login_servers_unchanged
  local domain
  for domain in login.p.test bücher.p.test; do
    cat >"$FED/$domain.host" <<END
authentication = "ccert"
certificate_match = "xmppaddr"
c2s_ssl = { cafile = "$KEYS/users/root.pem", capath = false, verify = { "peer", "client_once" }, verifyext = { lsec_ignore_purpose = false } }
END
  done
  cat >"$FED/ejabberd.listen" <<END
  - { port: 5223, ip: 127.0.1.2, module: ejabberd_c2s, starttls_required: true, tls_verify: true, cafile: $KEYS/users/root.pem }
  - { port: 5224, ip: 127.0.1.2, module: ejabberd_c2s, starttls_required: true, tls_verify: true, cafile: $ROOT }
  - { port: 5225, ip: 127.0.1.2, module: ejabberd_c2s, starttls_required: true, tls_verify: true, cafile: $KEYS/users/root.pem, access: users }
END
  fed_prosody p 127.0.1.1 5266 login.p.test bücher.p.test
  sed -i "s|$KEYS/users/root.pem|$FED/users-and-crls.pem|; s|lsec_ignore_purpose = false|\"crl_check\", \"crl_check_chain\", lsec_ignore_purpose = false|" "$FED"/*.host
  check 'login: the CRLs of the user CA for a second Prosody' login_crl_file
  fed_prosody q 127.0.1.3 5268 login.p.test bücher.p.test
  fed_ejabberd login.e.test bücher.e.test
  check 'login: Prosody is up' fed_prosody_up p
  check 'login: a second Prosody, with CRLs, is up' fed_prosody_up q
  check 'login: ejabberd is up' fed_ejabberd_up login.e.test bücher.e.test
  check 'logins with every certificate, as docs/compatibility.md says' login_matrix
  fed_down "$prosody_p" "$prosody_q" "$fed_ejabberd"
}
