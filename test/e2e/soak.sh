# Sourced by run.sh: the soak of bench/soak.ts for twenty seconds, with a CA of its own.
# shellcheck shell=bash disable=SC2034,SC2154

short_soak() { (cd "$HOME_OF_ICA" && node --import tsx bench/soak.ts --seconds 20 --kill 8 --connections 8); }

test_soak() { check 'soak: every answer was true at its moment' short_soak; }
