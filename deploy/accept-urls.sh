# Sourced: what `make up` started, as deploy/acceptance/contract sees it.
. ./.env
export ACCEPT_TOKEN="$TELLTALE_ADMIN_TOKEN"

# where is the address on this machine of a port of a container, of the first of these services that runs
where() { # port, service …
  port=$1
  shift
  for service in "$@"; do
    docker compose port "$service" "$port" 2>/dev/null && return
  done
}

export ACCEPT_HTTP_URL="http://$(where 8000 query-api query-api-postgres query-api-listen)"
export ACCEPT_KAFKA_BROKERS="$(where 9092 kafka)"
if mqtt=$(where 1883 mqtt-bridge-listen); then
  export ACCEPT_MQTT_MODE=listen ACCEPT_MQTT_URL="tcp://$mqtt"
else
  [ "${MQTT_SHARED:-false}" = true ] && ACCEPT_MQTT_MODE=shared || ACCEPT_MQTT_MODE=subscribe
  export ACCEPT_MQTT_MODE ACCEPT_MQTT_URL="tcp://operator:$MQTT_OPERATOR_PASSWORD@$(where 1883 mosquitto)"
fi
export ACCEPT_OPS_URLS="http://$(where 9100 mqtt-bridge mqtt-bridge-listen),http://$(where 9100 ingest-writer),http://$(where 9100 cache-updater),http://$(where 9100 query-api query-api-postgres query-api-listen)"
