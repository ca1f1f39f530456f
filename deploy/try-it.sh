#!/bin/sh
# Prints what to do first with what `make up` started.
set -eu
. ./.env
api=http://127.0.0.1:${HTTP_PORT:-8000}
cat <<END

Telltale is up: $api/api/docs/
  publish a reading   mosquitto_pub -h 127.0.0.1 -p ${MQTT_PORT:-1883} -u device -P $MQTT_DEVICE_PASSWORD -q 1 -t sensors/data -m '{"device_id": 1, "temperature": 21.5, "humidity": 40}'
  read it back        curl $api/api/devices/1/latest/
mosquitto_pub is in the container too: docker compose exec mosquitto mosquitto_pub …
END
