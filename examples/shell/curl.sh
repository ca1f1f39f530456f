#!/bin/sh
# A sensor with curl, for devices without MQTT. Telltale answers 202 when a reading is safe, so what fails is sent again, with the
# time at which it was measured: sent twice, it is stored once. It measures nothing until then.

url=http://localhost:8000
device=curl-1    # any text
interval=10      # seconds
password=        # of the device, where Telltale asks for one

measure() {
  cut -d' ' -f1 /proc/loadavg
}

while true; do
  reading=$(printf '{"load": %s, "timestamp": "%s"}' "$(measure)" "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)")
  echo "measured $reading"
  while true; do
    status=$(curl -s -o /dev/null -w '%{http_code}' --max-time 30 ${password:+-u "$device:$password"} -H 'Content-Type: application/json' -d "$reading" "$url/api/devices/$device/readings/")
    case $status in 202 | 400) break ;; esac # 400: it is no reading, and will never be one
    echo "not accepted: $status"
    sleep 1
  done
  sleep "$interval"
done
