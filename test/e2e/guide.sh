#!/bin/bash
# The lines that the page shows for a server, followed as it says, by root, on a machine with Debian's package as it comes:
#
#   unshare --mount guide.sh SERVER ADDRESS FOLDER PEER
#
# FOLDER has what form-guides.ts took down: the files of the certificate of SERVER.web.test, and the steps root-*, install-* and trust-*, each with its title in the first
# line. PEER is such a folder of another server, whose certificate is shown to this one. Prints a line `ok` or `FAIL` for each check.
# shellcheck disable=SC2317
set -uo pipefail
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SERVER=$1 ADDRESS=$2 FOLDER=$3 PEER=$4
DOMAIN=$SERVER.web.test
AT=$WORK/guide-$SERVER
SERVER_LOG=
. "$E2E/lib.sh"

# The package's own configuration, in a copy; places of its own for its data; and the roots of the system, of which ours is none.
machine() {
  local place
  mkdir -p "$AT/bin" "$AT/roots"
  ! mountpoint -q "/etc/$SERVER" || umount "/etc/$SERVER"
  cp -a "/etc/$SERVER" "$AT/etc"
  mount --bind "$AT/etc" "/etc/$SERVER"
  for place in lib log; do
    install -d -o "$SERVER" -g "$SERVER" "$AT/$place"
    mount --bind "$AT/$place" "/var/$place/$SERVER"
  done
  mount -t tmpfs -o mode=755 none /run
  install -d -o "$SERVER" -g "$SERVER" "/run/$SERVER"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$AT/roots.key" -out "$AT/roots/ca-certificates.crt" -subj '/CN=Some public root' -days 2
  mount --bind "$AT/roots" /etc/ssl/certs
  # There is no systemd in here; of what it does, this is all that the page asks for.
  printf '#!/bin/bash\nset -e\n[ "$*" = "restart %s" ]\n. "%s"\nend_server\nstart_server_\n' "$SERVER" "$AT/server.sh" >"$AT/bin/systemctl"
  chmod 755 "$AT/bin/systemctl"
}

prosody_machine() {
  sed -i "1i interfaces = { \"$ADDRESS\" }" /etc/prosody/prosody.cfg.lua
  printf 'VirtualHost "%s"\n' "$DOMAIN" >"/etc/prosody/conf.d/$DOMAIN.cfg.lua"
  # As the unit of the package starts it.
  cat >"$AT/server.sh" <<END
start_server_() { setsid setpriv --reuid=prosody --regid=prosody --clear-groups prosody -F >>"$AT/out" 2>&1 </dev/null & }
end_server() { local pid; pid=\$(cat /run/prosody/prosody.pid); kill "\$pid"; while kill -0 "\$pid" 2>/dev/null; do sleep 0.1; done; }
END
}

ejabberd_machine() {
  sed -i -e "s/^  - localhost\$/  - $DOMAIN/" -e "s/ip: \"::\"/ip: \"$ADDRESS\"/" /etc/ejabberd/ejabberd.yml
  printf 'start_server_() { setsid ejabberdctl foreground >>"%s/out" 2>&1 </dev/null & }\n' "$AT" >"$AT/server.sh"
}

start() {
  "${SERVER}_machine"
  . "$AT/server.sh"
  start_server_
  wait_for 40 is_up || fail "$(tail -n 30 "$AT/out" "$AT"/log/*)"
}

is_up() { : <>"/dev/tcp/$ADDRESS/5269"; }
shown() { openssl s_client -connect "$ADDRESS:$2" -starttls "$1" -xmpphost "$DOMAIN" -servername "$DOMAIN" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
# is_shown SERVICE PORT: the certificate in the file that was saved, and it belongs to the key, or there would be no handshake.
is_shown() { [ "$(shown "$1" "$2")" = "$(openssl x509 -in "$(saved)" -noout -serial)" ]; }
saved() { grep -l 'BEGIN CERTIFICATE' "${1:-$FOLDER}"/*.web.test.*; }

# follow STEP...: as a person does: runs what is for a shell, writes what is for a file.
follow() {
  local step title lines
  for step in "$@"; do
    title=$(head -n 1 "$step")
    lines=$AT/lines
    tail -n +2 "$step" >"$lines"
    printf '%s\n' "--- $title"
    cat "$lines"
    case $title in
      '/etc/prosody/prosody.cfg.lua, above the first VirtualHost'*) above_first_host /etc/prosody/prosody.cfg.lua "$lines" ;;
      /*.yml) into_yaml "$title" "$lines" ;;
      /*) fail "nobody knows how to do this: $title" ;;
      *) (cd "$FOLDER" && PATH=$AT/bin:$PATH bash -e "$lines") ;;
    esac
  done
}

above_first_host() {
  awk -v lines="$2" '/^VirtualHost/ && !done { while ((getline line <lines) > 0) print line; done = 1 } { print }' "$1" >"$AT/edited"
  grep -qxF "$(head -n 1 "$2")" "$AT/edited"
  cat "$AT/edited" >"$1"
}

# Settings at the top level, in place of those of the same name.
into_yaml() {
  local key
  for key in $(sed -n 's/^\([a-z0-9_]*\):.*/\1/p' "$2"); do
    awk -v key="$key" 'index($0, key ":") == 1 { skip = 1; next } skip && /^[ #-]/ { next } { skip = 0; print }' "$1" >"$AT/edited"
    cat "$AT/edited" >"$1"
  done
  cat "$2" >>"$1"
}

root_is_fetched() {
  follow "$FOLDER"/root-* | tee "$AT/root.out"
  grep -qF "$(cat "$FOLDER/fingerprint")" "$AT/root.out" || fail "the page has the fingerprint $(cat "$FOLDER/fingerprint")"
}

installed() {
  ! is_shown xmpp-server 5269 || fail 'it is there before'
  follow "$FOLDER"/install-*
  wait_for 20 is_shown xmpp-server 5269 || fail "$(tail -n 30 "$AT/out" "$AT"/log/*)"
  wait_for 5 is_shown xmpp 5222
  openssl s_client -connect "$ADDRESS:5269" -starttls xmpp-server -xmpphost "$DOMAIN" -servername "$DOMAIN" -CAfile "$FOLDER/ica-root.pem" -verify_hostname "$DOMAIN" \
    -verify_return_error </dev/null
}

# Whether the server takes the certificate of the other one, by SASL EXTERNAL.
takes_peer() {
  local key
  key=$(grep -l 'PRIVATE KEY' "$PEER"/*.web.test.*)
  (cd "$E2E/../.." && node --import tsx "$E2E/guide-peer.ts" "$ADDRESS" "$DOMAIN" "$(basename "$PEER").web.test" "$(saved "$PEER")" "$key")
}

trusted() {
  ! takes_peer || fail 'it trusts our root before'
  follow "$FOLDER"/trust-*
  wait_for 20 is_shown xmpp-server 5269
  wait_for 15 takes_peer || { takes_peer; fail "$(tail -n 30 "$AT/out" "$AT"/log/*)"; }
}

check "guide: $SERVER as its package comes" machine
check "guide: $SERVER is up" start
check "guide: $SERVER: the root, by the lines of the page" root_is_fetched
check "guide: $SERVER: installed by the lines of the page" installed
check "guide: $SERVER: trusts the root by the lines of the page" trusted
[ $failed = 0 ]
