#!/bin/bash
# The program from the outside: started by `npm start`, used by Debian's ACME clients, judged by OpenSSL. Linux only; needs the packages that .ci/run installs.
#
#   test/e2e/run.sh [PART...]     parts: start lego dehydrated status judges pages certbot uacme acme_tiny acme_client ejabberd cli restart federation kit check login form external_accounts postgresql soak   (all by default)
#
# Everything runs in a network, mount and process namespace of its own with loopback only, so that nothing leaves the machine, ports are free, and the end of
# this script is the end of all it started. Works as root and, where user namespaces are allowed, as a normal user.
# KEEP=1 leaves the scratch folder; E2E_OUT is a folder for screenshots. Ends with "N passed, N failed"; the exit status is 1 where something failed.
set -uo pipefail
export LC_ALL=C.UTF-8
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HOME_OF_ICA=$(cd "$E2E/../.." && pwd)

if [ "${INSIDE_NAMESPACE:-}" != 1 ]; then
  for tool in unshare ip mount curl openssl pebble-challtestsrv lego dehydrated certbot uacme ualpn acme-tiny erl prosody prosodyctl ocsptool certtool java nginx chromium node npm initdb:postgresql; do
    case $tool in
      *:postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "missing: postgresql" >&2 && exit 1; } ;;
      *) command -v "$tool" >/dev/null || { echo "missing: $tool" >&2 && exit 1; } ;;
    esac
  done
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/ica-e2e.XXXXXX")
  chmod 755 "$WORK"
  REAL_UID=$(id -u)
  REAL_GID=$(id -g)
  export WORK INSIDE_NAMESPACE=1 REAL_UID REAL_GID
  [ "$REAL_UID" = 0 ] && as= || as=-Ur
  unshare $as --net --mount --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$@" &
  namespace=$!
  trap 'kill "$namespace" 2>/dev/null; [ "${KEEP:-}" = 1 ] || rm -rf "$WORK"' EXIT
  trap 'exit 143' TERM INT
  wait $namespace
  exit $?
fi

# --- inside -------------------------------------------------------------------------------------------------------------------------------------
HOST=127.0.5.1
export DNS=127.0.0.53:53 TXT_URL=http://$HOST:8055 HTTP01_PORT=5002 TLSALPN01_PORT=5001 WEBROOT=$WORK/webroot ALPN_FOLDER=$WORK/alpn
DIRECTORY=https://ica.test/acme/directory
CLIENTS=$WORK/clients
TRUST=$WORK/trust
SERVER_LOG=
# What the environment says of roots would hide the file of this test.
unset NODE_EXTRA_CA_CERTS SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
for variable in ${!ICA_@} DATABASE_URL SMTP_URL; do unset "$variable"; done

mkdir -p "$WORK/log" "$WEBROOT/.well-known/acme-challenge" "$ALPN_FOLDER" "$CLIENTS" "$TRUST"
printf 'nameserver 127.0.0.53\noptions timeout:2 attempts:1\n' >"$WORK/resolv.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$WORK/hosts"
ip link set lo up
mount --bind "$WORK/resolv.conf" /etc/resolv.conf
mount --bind "$WORK/hosts" /etc/hosts
mount --bind "$TRUST" /etc/ssl/certs
# A tool that, as root, replaces its output file must fail here instead of taking /dev/null away from the machine.
mount --bind /dev/null /dev/null

. "$E2E/lib.sh"
. "$E2E/status.sh"
. "$E2E/judges.sh"
. "$E2E/soak.sh"
. "$E2E/clients.sh"
. "$E2E/ejabberd.sh"
. "$E2E/external-accounts.sh"
. "$E2E/federation.sh"
. "$E2E/kit.sh"
. "$E2E/check.sh"
. "$E2E/login.sh"
. "$E2E/parts.sh"

pebble-challtestsrv -dns01 $DNS -management $HOST:8055 -defaultIPv4 $HOST -defaultIPv6 '' -http01 '' -https01 '' -tlsalpn01 '' >"$WORK/dns.log" 2>&1 </dev/null &
node "$E2E/webroot.mjs" "$WEBROOT" $HOST $HTTP01_PORT >"$WORK/webroot.log" 2>&1 </dev/null &
node "$E2E/alpn.mjs" "$ALPN_FOLDER" $HOST $TLSALPN01_PORT >"$WORK/alpn.log" 2>&1 </dev/null &
wait_for 10 curl -sf -m 1 $TXT_URL/clear-txt -d '{"host":"a.test."}' || { cat "$WORK/dns.log" && exit 1; }

test_start
for part in "${@:-lego dehydrated status judges pages certbot uacme acme_tiny acme_client ejabberd cli restart federation kit check login form external_accounts postgresql soak}"; do
  for one in $part; do [ "$one" = start ] || "test_$one"; done
done
[ -z "${server:-}" ] || check 'the end: SIGTERM' stop_server

echo
echo "$passed passed, $failed failed"
[ $failed = 0 ]
