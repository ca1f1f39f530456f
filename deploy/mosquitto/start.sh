#!/bin/sh
# Writes the password file from the environment, as Mosquitto keeps only hashes, and becomes Mosquitto.
set -eu
umask 077
file=/mosquitto/data/passwords
: >"$file"
mosquitto_passwd -b "$file" bridge "$MQTT_BRIDGE_PASSWORD"
mosquitto_passwd -b "$file" device "$MQTT_DEVICE_PASSWORD"
mosquitto_passwd -b "$file" operator "$MQTT_OPERATOR_PASSWORD"
chown mosquitto "$file" 2>/dev/null || true # where the container is not root it is the owner already
exec mosquitto -c /mosquitto/config/mosquitto.conf
