# Sourced by run.sh: clients that bind their account to a key from `xmpp-ica eab create` (RFC 8555 §7.3.4), on a CA that asks for it.
# shellcheck shell=bash disable=SC2034,SC2154

# new_eab CLIENT: eab_kid and eab_hmac, for one account. Not inside check: the client needs them.
new_eab() {
  local made
  made=$(xmpp_ica eab create --note "$1" --json) || failed=$((failed + 1))
  eab_kid=$(sed -n 's/.*"kid": "\([^"]*\)".*/\1/p' <<<"$made")
  eab_hmac=$(sed -n 's/.*"hmacKey": "\([^"]*\)".*/\1/p' <<<"$made")
}

# is_bound: one account was made with the key, which now is used up.
is_bound() {
  local line
  line=$(xmpp_ica eab list | tee /dev/stderr | grep -F "$eab_kid")
  read -r -a fields <<<"$line"
  [ "${fields[1]}" = used ] && [ "${fields[2]}" = 0 ] || fail "not used: $line"
  xmpp_ica account show "${fields[4]}" | tee /dev/stderr | grep -qF "$eab_kid"
}

without_binding() {
  ! certbot_ register --register-unsafely-without-email --agree-tos >"$WORK/without" 2>&1 || fail 'an account without a binding'
  cat "$WORK/without"
  grep -qi 'external account' "$WORK/without"
}

eab_dehydrated() {
  local at=$CLIENTS/dehydrated
  dehydrated_config
  printf 'EAB_KID=%s\nEAB_HMAC_KEY=%s\n' "$eab_kid" "$eab_hmac" >>"$at/config"
  dehydrated_ --register --accept-terms
  dehydrated_ -c -d eab.dehydrated.test -t http-01
  has_names "$at/certs/eab.dehydrated.test/fullchain.pem" eab.dehydrated.test
}

eab_certbot() {
  certbot_ certonly --webroot -w "$WEBROOT" --register-unsafely-without-email --agree-tos --eab-kid "$eab_kid" --eab-hmac-key "$eab_hmac" -d eab.certbot.test
  has_names "$CLIENTS/certbot/live/eab.certbot.test/fullchain.pem" eab.certbot.test
}

eab_lego() {
  lego_ "${lego_dns[@]}" --eab --kid "$eab_kid" --hmac "$eab_hmac" -d eab.lego.test run
  has_names "$CLIENTS/lego/certificates/eab.lego.test.crt" eab.lego.test
}

eab_uacme() {
  uacme_ -y -e "$eab_kid:$eab_hmac" new
  uacme_ -h "$E2E/webroot-hook.sh" issue eab.uacme.test
  has_names "$CLIENTS/uacme/eab.uacme.test/cert.pem" eab.uacme.test
}

test_external_accounts() {
  if [ -n "${server:-}" ]; then
    check 'SIGTERM before the external accounts' stop_server
    server=
  fi
  local clients=$CLIENTS client
  CLIENTS=$WORK/clients-eab
  mkdir -p "$CLIENTS"
  start_server external-accounts ICA_EAB=required
  check 'external accounts: a CA that asks for them' first_start
  trust_root
  check 'certbot: without a binding there is no account' without_binding
  for client in certbot lego dehydrated uacme; do
    new_eab $client
    check "$client: external account binding, and a certificate" "eab_$client"
    check "$client: its account is bound" is_bound
  done
  unset ICA_EAB
  CLIENTS=$clients
}
