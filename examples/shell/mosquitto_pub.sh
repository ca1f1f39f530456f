#!/bin/sh
# A sensor with mosquitto_pub (Debian: mosquitto-clients). mosquitto_pub ends with 0 after the PUBACK, so what fails is sent
# again, with the time at which it was measured. It measures nothing until then.

host=localhost port=1883
# where it asks for a password: mosquitto_pub -u device -P password
device=shell-1   # any text; also the client id, so each device needs its own
interval=10      # seconds

measure() {
  cut -d' ' -f1 /proc/loadavg
}

while true; do
  reading=$(printf '{"load": %s, "timestamp": "%s"}' "$(measure)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)")
  echo "measured $reading"
  until mosquitto_pub -h "$host" -p "$port" -i "$device" -q 1 -t "sensors/$device/data" -m "$reading"; do
    sleep 1
  done
  sleep "$interval"
done
