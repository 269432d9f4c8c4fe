#!/bin/bash
# http-01 hook of uacme: begin|done|failed http-01 DOMAIN TOKEN VALUE
set -eu
[ "$2" = http-01 ] || exit 1
file=$WEBROOT/.well-known/acme-challenge/$4
case $1 in
  begin) printf %s "$5" >"$file" ;;
  *) rm -f "$file" ;;
esac
