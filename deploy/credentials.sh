#!/bin/sh
# Makes by the API, once query-api runs, what a first user needs, and keeps it in .env: the password of a device, 1001; with
# the profile observe a token with which Grafana reads; and for simulated devices that connect to mqtt-bridge a gateway's
# password. What is there and still counts stays.
set -eu
umask 077
cd "$(dirname "$0")/.."
set_auth=${AUTH-}
. ./.env
[ "${set_auth:-${AUTH:-}}" != off ] || exit 0
command -v curl >/dev/null || { echo "curl is not here: no credential is made for a first device" >&2; exit 0; }
for service in query-api query-api-postgres query-api-listen; do
  at=$(docker compose port $service 8000 2>/dev/null) && break
done

ask() { # path in the API, and options of curl
  path=$1
  shift
  curl --silent --show-error --max-time 30 -H "Authorization: Bearer ${token-$TELLTALE_ADMIN_TOKEN}" -H 'Content-Type: application/json' "$@" "http://$at/api/$path"
}
keep() { # name, and what the API has answered, with the secret in the field "$3"
  value=$(printf '%s\n' "$2" | sed -n 's/.*"'"$3"'": *"\([^"]*\)".*/\1/p')
  [ "$value" ] || { echo "$1 cannot be made: $2" >&2; exit 1; }
  rest=$(grep -v "^$1=" .env)
  printf '%s\n%s=%s\n' "$rest" "$1" "$value" >.env
}

made=$(ask devices/1001/credentials/)
case $made in
*'"password"'*) # the database has one; it is this, unless the .env is another's
  [ "${TELLTALE_DEVICE_SECRET:-}" ] || keep TELLTALE_DEVICE_SECRET "$(ask devices/1001/credentials/ -d '{"type": "password"}')" password ;;
*)
  user=$(ask me/ | sed -n 's/^{"id": *\([0-9]*\),.*/\1/p')
  ask devices/ -d '{"id": 1001, "name": "First device", "user": '"${user:-1}}" >/dev/null
  keep TELLTALE_DEVICE_SECRET "$(ask devices/1001/credentials/ -d '{"type": "password"}')" password ;;
esac

# On Mosquitto, the simulator is the user device.
login=
if docker compose ps --services | grep -qx simulator; then
  if [ $service = query-api-listen ]; then
    login=${SIM_LOGIN:-}
    if [ "$login" = "" ] || ! ask credentials/ | grep -q '"username": *"simulator"'; then
      devices=$(awk -v n="${SIM_DEVICES:-10}" 'BEGIN { for (i = 1; i <= n; i++) printf "%s%d", (i > 1 ? "," : ""), 900000 + i }')
      keep SIM_LOGIN "$(ask credentials/ -d '{"name": "simulator", "type": "password", "devices": ['"$devices"']}')" password
      sed -i.before "s/^SIM_LOGIN=/&simulator:/" .env && rm .env.before
      login=$(sed -n 's/^SIM_LOGIN=//p' .env)
    fi
  elif [ "${SIM_LOGIN:-}" ]; then
    sed -i.before '/^SIM_LOGIN=/d' .env && rm .env.before
  fi
  [ "$login" = "${SIM_LOGIN:-}" ] || SIM_LOGIN=$login docker compose --progress quiet up -d --no-deps simulator
fi

if docker compose ps --services | grep -qx grafana; then
  token=${TELLTALE_GRAFANA_TOKEN:-none}
  if ! ask me/ --fail >/dev/null 2>&1; then
    unset token
    keep TELLTALE_GRAFANA_TOKEN "$(ask tokens/ -d '{"name": "Grafana", "role": "viewer", "expires_at": null}')" token
    docker compose --progress quiet up -d --no-deps grafana
  fi
fi
