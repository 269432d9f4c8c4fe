#!/bin/bash
# dns-01 hook of several clients, on the management port of pebble-challtestsrv (TXT_URL). What each of them passes:
#  certbot     auth|cleanup, with CERTBOT_DOMAIN and CERTBOT_VALIDATION in the environment
#  lego        present|cleanup FQDN. VALUE
#  dehydrated  deploy_challenge|clean_challenge DOMAIN TOKEN VALUE
#  uacme       begin|done|failed dns-01 DOMAIN TOKEN VALUE
set -eu
set_txt() { curl -sf -m 5 "$TXT_URL/set-txt" -d "{\"host\":\"${1%.}.\",\"value\":\"$2\"}"; }
clear_txt() { curl -sf -m 5 "$TXT_URL/clear-txt" -d "{\"host\":\"${1%.}.\"}"; }
case $1 in
  auth) set_txt "_acme-challenge.$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION" ;;
  cleanup) clear_txt "${2:-_acme-challenge.${CERTBOT_DOMAIN:-}}" ;;
  present) set_txt "$2" "$3" ;;
  deploy_challenge) set_txt "_acme-challenge.$2" "$4" ;;
  clean_challenge) clear_txt "_acme-challenge.$2" ;;
  begin)
    [ "$2" = dns-01 ] || exit 1
    set_txt "_acme-challenge.$3" "$5"
    ;;
  done | failed)
    [ "$2" = dns-01 ] && clear_txt "_acme-challenge.$3"
    ;;
esac
