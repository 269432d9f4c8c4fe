#!/bin/bash
# tls-alpn-01 hook of uacme, for its ualpn at the socket UALPN: begin|done|failed tls-alpn-01 DOMAIN TOKEN VALUE
set -eu
[ "$2" = tls-alpn-01 ] || exit 1
case $1 in
  begin) told="auth $3 $5" ;;
  *) told="unauth $3" ;;
esac
[ "$(ualpn -s "$UALPN" <<<"$told")" = OK ]
