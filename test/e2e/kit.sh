# Sourced by run.sh: `xmpp-ica deploy` as the hook of stock ACME clients, with Debian's Prosody and ejabberd in the places where their packages have them, as docs/servers/ says.
# shellcheck shell=bash disable=SC2034,SC2154

KIT=$WORK/kit
kit_prosody=127.0.2.1
kit_ejabberd=127.0.2.2

# As a deploy hook runs it: without the variables of the CA, on a machine that knows nothing of it.
kit_hook() {
  printf '#!/bin/sh\ncd / && exec env -u ICA_KEYS -u DATABASE_URL node %s deploy %s\n' "$HOME_OF_ICA/src/bootstrap.mjs" "$2" >"$KIT/$1"
  chmod 755 "$KIT/$1"
}

# The folders of the packages, empty, in this namespace alone: Prosody's has a place for certificates, ejabberd's has none.
kit_places() {
  local server
  for server in prosody ejabberd; do
    mkdir -p "$KIT/etc-$server" "$KIT/$server" "/etc/$server"
    mount --bind "$KIT/etc-$server" "/etc/$server"
    [ "$REAL_UID" != 0 ] || chown "$server:$server" "$KIT/$server"
  done
  mkdir /etc/prosody/certs
  [ "$REAL_UID" != 0 ] || chgrp prosody /etc/prosody/certs
  chmod 750 /etc/prosody/certs
}

# kit_as USER COMMAND...: as the packages start their servers, where other users can be had.
kit_as() {
  if [ "$REAL_UID" = 0 ]; then exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; else exec "${@:2}"; fi
}

kit_old_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2" -out "$1" -subj "/CN=$3" -addext "subjectAltName=DNS:$3" -days 2 2>/dev/null
}

kit_start_prosody() {
  cat >/etc/prosody/prosody.cfg.lua <<END
run_as_root = true
pidfile = "$KIT/prosody/prosody.pid"
data_path = "$KIT/prosody"
modules_enabled = { "tls", "saslauth", "disco", "posix" }
c2s_interfaces = { "$kit_prosody" }
c2s_direct_tls_ports = {}
s2s_interfaces = { "$kit_prosody" }
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
log = { debug = "$KIT/prosody/prosody.log" }
VirtualHost "prosody.kit.test"
Component "conference.prosody.kit.test" "muc"
END
  kit_old_certificate /etc/prosody/certs/prosody.kit.test.crt /etc/prosody/certs/prosody.kit.test.key prosody.kit.test
  [ "$REAL_UID" != 0 ] || chgrp prosody /etc/prosody/certs/*
  chmod 640 /etc/prosody/certs/*
  kit_as prosody prosody -F >"$KIT/prosody.out" 2>&1 </dev/null &
  wait_for 10 kit_shows $kit_prosody:5222 prosody.kit.test /etc/prosody/certs/prosody.kit.test.crt
}

kit_start_ejabberd() {
  cat >/etc/ejabberd/ejabberd.yml <<END
loglevel: info
hosts: [ejabberd.kit.test]
certfiles:
  - /etc/ejabberd/certs/*.pem
s2s_use_starttls: required
acme: { auto: false }
listen:
  - { port: 5222, ip: $kit_ejabberd, module: ejabberd_c2s, starttls_required: true }
  - { port: 5269, ip: $kit_ejabberd, module: ejabberd_s2s_in }
  - { port: 5280, ip: $kit_ejabberd, module: ejabberd_http, request_handlers: { /api: mod_http_api } }
api_permissions: { all: { who: all, what: "*" } }
modules: { mod_admin_extra: {}, mod_disco: {}, mod_http_api: {} }
END
  (
    ERL_LIBS=$(dirname "$(dirname "$(ls -d /usr/lib/*/ejabberd-*/ebin | head -n 1)")")
    export ERL_LIBS EJABBERD_CONFIG_PATH=/etc/ejabberd/ejabberd.yml EJABBERD_LOG_PATH=$KIT/ejabberd/ejabberd.log ERL_CRASH_DUMP_BYTES=0 HOME=$KIT/ejabberd
    kit_as ejabberd erl -noinput -mnesia dir "\"$KIT/ejabberd/spool\"" -s ejabberd
  ) >"$KIT/ejabberd.out" 2>&1 </dev/null &
  wait_for 30 listens $kit_ejabberd 5280 || fail "$(tail -n 30 "$KIT/ejabberd.out" "$KIT/ejabberd/ejabberd.log")"
}

kit_serial() { openssl s_client -connect "$1" -starttls "${3:-xmpp}" -xmpphost "$2" -servername "$2" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
kit_shows() { [ "$(kit_serial "$1" "$2" "${4:-xmpp}")" = "$(openssl x509 -in "$3" -noout -serial)" ]; }

# kit_installed SERVER FILE: the CA's chain is in place and shown to clients and servers.
kit_installed() {
  local address=kit_$1
  openssl verify -CAfile "$ROOT" -untrusted "$2" "$2"
  kit_shows "${!address}:5222" "$1.kit.test" "$2"
  kit_shows "${!address}:5269" "$1.kit.test" "$2" xmpp-server
}

kit_certbot() {
  certbot_ certonly --webroot -w "$WEBROOT" --register-unsafely-without-email --agree-tos -d prosody.kit.test -d conference.prosody.kit.test --deploy-hook "$KIT/deploy-prosody"
}

kit_renewed() {
  cp /etc/prosody/certs/prosody.kit.test.crt "$KIT/before.crt"
  certbot_ renew --force-renewal --cert-name prosody.kit.test --no-random-sleep-on-renew
  ! cmp "$KIT/before.crt" /etc/prosody/certs/prosody.kit.test.crt || fail 'the same certificate as before'
  kit_installed prosody /etc/prosody/certs/prosody.kit.test.crt
}

# A hook whose server can't be told: the files that worked are in place again, and certbot reports the hook.
kit_put_back() {
  local live=$CLIENTS/certbot/live/prosody.kit.test
  cp /etc/prosody/certs/prosody.kit.test.crt "$KIT/before.crt"
  kit_hook deploy-broken "prosody $kit_owner --at $kit_prosody:5222 --reload /bin/true --patience 1"
  certbot_ certonly --webroot -w "$WEBROOT" --agree-tos --force-renewal -d prosody.kit.test -d conference.prosody.kit.test --deploy-hook "$KIT/deploy-broken" 2>&1 | tee "$KIT/broken.log"
  grep -q 'still shows another certificate' "$KIT/broken.log"
  grep -q 'The old certificate is in place again' "$KIT/broken.log"
  cmp "$KIT/before.crt" /etc/prosody/certs/prosody.kit.test.crt
  ! cmp -s "$live/fullchain.pem" /etc/prosody/certs/prosody.kit.test.crt || fail 'the new one is still in place'
  kit_installed prosody /etc/prosody/certs/prosody.kit.test.crt
}

kit_lego() {
  lego_ "${lego_dns[@]}" -d ejabberd.kit.test run --run-hook "$KIT/deploy-ejabberd"
  [ "$(stat -c %a /etc/ejabberd/certs /etc/ejabberd/certs/ejabberd.kit.test.pem | xargs)" = '750 640' ]
  [ "$REAL_UID" != 0 ] || [ "$(stat -c %U:%G /etc/ejabberd/certs /etc/ejabberd/certs/ejabberd.kit.test.pem | xargs)" = 'root:ejabberd root:ejabberd' ]
}

test_kit() {
  mkdir -p "$KIT"
  check 'kit: the places of the packages' kit_places
  # Only root can give files to another user; in a user namespace there is none.
  kit_owner=
  [ "$REAL_UID" = 0 ] || kit_owner='--owner 0:0'
  kit_hook deploy-prosody "prosody $kit_owner --at $kit_prosody:5222 --at $kit_prosody:5269"
  kit_hook deploy-ejabberd "ejabberd $kit_owner --at $kit_ejabberd:5222 --at $kit_ejabberd:5269 --reload 'curl -sf -m 10 -d {} http://$kit_ejabberd:5280/api/reload_config'"
  check 'kit: Prosody with an old certificate' kit_start_prosody
  check 'kit: certbot issues, its hook installs in Prosody' kit_certbot
  check 'kit: Prosody shows it to clients and servers' kit_installed prosody /etc/prosody/certs/prosody.kit.test.crt
  check 'kit: certbot renews, the hook installs again' kit_renewed
  check 'kit: a server that does not follow gets its old one back' kit_put_back
  check 'kit: ejabberd without a certificate, and without a folder for it' kit_start_ejabberd
  check 'kit: lego issues, its hook makes the folder and installs in ejabberd' kit_lego
  check 'kit: ejabberd shows it to clients and servers' kit_installed ejabberd /etc/ejabberd/certs/ejabberd.kit.test.pem
}
