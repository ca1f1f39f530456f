#!/bin/sh
# Prints what to do first with what `make up` started: commands that can be pasted as they are. Where simulated
# devices run it waits for their first reading, so that there is something to be read.
set -eu
cd "$(dirname "$0")/.."
set_auth=${AUTH-}
. ./.env
for service in query-api query-api-postgres query-api-listen; do
  api=http://$(docker compose port $service 8000 2>/dev/null) && break
done

publish="-q 1 -t sensors/1001/data -m '{\"temperature\": 21.5, \"humidity\": 40}'"
header=
if [ "${set_auth:-${AUTH:-}}" != off ] && [ "${TELLTALE_DEVICE_SECRET:-}" ]; then
  publish="-u 1001 -P $TELLTALE_DEVICE_SECRET $publish"
  header="-H 'Authorization: Bearer $TELLTALE_ADMIN_TOKEN' "
elif [ "$service" != query-api-listen ]; then
  publish="-u device -P $MQTT_DEVICE_PASSWORD $publish"
fi
if at=$(docker compose port mqtt-bridge-listen 1883 2>/dev/null); then
  publish="mosquitto_pub -h ${at%:*} -p ${at##*:} $publish"
elif ! command -v mosquitto_pub >/dev/null; then
  publish="docker compose exec mosquitto mosquitto_pub $publish"
elif [ -e .tls/server/ca.crt ] && at=$(docker compose port mosquitto 8883 2>/dev/null); then
  publish="mosquitto_pub -h localhost -p ${at##*:} --cafile .tls/server/ca.crt $publish"
else
  at=$(docker compose port mosquitto 1883)
  publish="mosquitto_pub -h ${at%:*} -p ${at##*:} $publish"
fi

cat <<END
Telltale is up: $api/ in a browser, the API at $api/api/docs/
  publish a reading   $publish
  read it back        curl -sf --retry 5 --retry-all-errors $header$api/api/devices/1001/latest/
END

if docker compose ps --services --status running | grep -qx simulator; then
  seconds=60
  until [ "$(docker compose exec -T redis redis-cli dbsize)" != 0 ]; do
    [ $((seconds -= 1)) -gt 0 ] || { echo "the simulated devices' readings do not arrive: make logs shows why" >&2; exit 1; }
    sleep 1
  done
  echo "  simulated devices   curl $header$api/api/readings/latest_all/"
fi
