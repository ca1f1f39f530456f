#!/bin/sh
# Prints what to do first with what `make up` started: commands that can be pasted as they are. Where simulated
# devices run it waits for their first reading, so that there is something to be read.
set -eu
cd "$(dirname "$0")/.."
. ./.env
api=http://$(docker compose port query-api 8000 2>/dev/null || docker compose port query-api-postgres 8000)

reading='{"device_id": 1001, "temperature": 21.5, "humidity": 40}'
publish="-q 1 -t sensors/data -m '$reading'"
if at=$(docker compose port mqtt-bridge-listen 1883 2>/dev/null); then
  publish="mosquitto_pub -h ${at%:*} -p ${at##*:} $publish"
elif at=$(docker compose port mosquitto 1883) && command -v mosquitto_pub >/dev/null; then
  publish="mosquitto_pub -h ${at%:*} -p ${at##*:} -u device -P $MQTT_DEVICE_PASSWORD $publish"
else
  publish="docker compose exec mosquitto mosquitto_pub -u device -P $MQTT_DEVICE_PASSWORD $publish"
fi

cat <<END
Telltale is up: $api/ in a browser, the API at $api/api/docs/
  publish a reading   $publish
  read it back        curl -sf --retry 5 --retry-all-errors $api/api/devices/1001/latest/
END

if docker compose ps --services --status running | grep -qx simulator; then
  seconds=60
  until [ "$(docker compose exec -T redis redis-cli dbsize)" != 0 ]; do
    [ $((seconds -= 1)) -gt 0 ] || { echo "the simulated devices' readings do not arrive: make logs shows why" >&2; exit 1; }
    sleep 1
  done
  echo "  simulated devices   curl $api/api/readings/latest_all/"
fi
