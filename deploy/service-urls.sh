# Sourced: the settings of services that run outside of docker compose, on its servers.
. ./.env
export MQTT_URL="tcp://bridge:$MQTT_BRIDGE_PASSWORD@127.0.0.1:${MQTT_PORT:-1883}"
export KAFKA_BROKERS="127.0.0.1:${KAFKA_PORT:-9092}"
export MONGODB_URI="mongodb://telltale:$MONGO_PASSWORD@127.0.0.1:${MONGO_PORT:-27017}/iot?authSource=admin"
export REDIS_URL="redis://:$REDIS_PASSWORD@127.0.0.1:${REDIS_PORT:-6379}/0"
export DATABASE_URL="mysql://iot:$MYSQL_PASSWORD@127.0.0.1:${MYSQL_PORT:-3306}/iot"
