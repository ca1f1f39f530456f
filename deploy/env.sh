#!/bin/sh
# Completes .env; make runs it before docker compose.
#   sh deploy/env.sh [new]    new: also where servers have data of an earlier .env, to delete them
# What .env lacks of .env.example, at first all of it, is added, with secrets of its own. What is there stays:
# servers keep the passwords that they were first started with. An .env from before there were credentials gets AUTH=warn, so
# that everybody still gets in.
set -eu
umask 077
cd "$(dirname "$0")/.."

cr=$(printf '\r')
first=
if [ ! -e .env ]; then
  first=yes
  project=${COMPOSE_PROJECT_NAME:-telltale}
  for volume in mongo mysql postgres grafana; do
    [ "${1-}" != new ] && docker volume inspect "${project}_$volume" >/dev/null 2>&1 || continue
    echo ".env is missing, and the volume ${project}_$volume has a password of the .env that it was made with: put that file back, or delete all data with make clean" >&2
    exit 1
  done
  : >.env
elif grep -q "$cr" .env; then # from an editor on Windows; the shell would take the \r for a part of the values
  unix=$(tr -d '\r' <.env)
  printf '%s\n' "$unix" >.env
fi

[ -z "$(tail -c 1 .env)" ] || echo >>.env # a last line without its end
tr -d '\r' <.env.example | while IFS= read -r line; do
  case $line in
  [A-Z]*=*) ! grep -q "^${line%%=*}=" .env || continue ;;
  *) [ "$first" ] || continue ;;
  esac
  case $line in
  *_PASSWORD=) line=$line$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') ;;
  *_TOKEN=) line=${line}tt_$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n') ;;
  AUTH=*) [ "$first" ] || line=AUTH=warn ;;
  esac
  printf '%s\n' "$line"
done >>.env

TLS_NAMES=${TLS_NAMES:-$(sed -n 's/^TLS_NAMES=//p' .env | tail -n 1 | tr -d '"')} sh deploy/tls.sh
