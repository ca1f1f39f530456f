# Sourced: what `make up` started, as deploy/acceptance/contract sees it.
. ./.env
export ACCEPT_HTTP_URL="http://127.0.0.1:${HTTP_PORT:-8000}"
export ACCEPT_MQTT_URL="tcp://operator:$MQTT_OPERATOR_PASSWORD@127.0.0.1:${MQTT_PORT:-1883}"
export ACCEPT_MQTT_MODE=subscribe
export ACCEPT_KAFKA_BROKERS="127.0.0.1:${KAFKA_PORT:-9092}"
export ACCEPT_OPS_URLS="http://127.0.0.1:${BRIDGE_OPS_PORT:-9101},http://127.0.0.1:${WRITER_OPS_PORT:-9102},http://127.0.0.1:${UPDATER_OPS_PORT:-9103},http://127.0.0.1:${API_OPS_PORT:-9104}"
