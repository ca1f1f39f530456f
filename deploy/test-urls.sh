# Sourced: where the servers of docker-compose.yml listen, for tests. A variable that is set already, to
# test against another server, stays.
. ./.env
export TEST_MQTT_URL="${TEST_MQTT_URL:-tcp://operator:$MQTT_OPERATOR_PASSWORD@127.0.0.1:${MQTT_PORT:-1883}}"
export TEST_KAFKA_BROKERS="${TEST_KAFKA_BROKERS:-127.0.0.1:${KAFKA_PORT:-9092}}"
export TEST_MONGODB_URI="${TEST_MONGODB_URI:-mongodb://telltale:$MONGO_PASSWORD@127.0.0.1:${MONGO_PORT:-27017}}"
export TEST_REDIS_URL="${TEST_REDIS_URL:-redis://:$REDIS_PASSWORD@127.0.0.1:${REDIS_PORT:-6379}/15}"
export TEST_MYSQL_URL="${TEST_MYSQL_URL:-mysql://root:$MYSQL_ROOT_PASSWORD@127.0.0.1:${MYSQL_PORT:-3306}/iot}"
export TEST_POSTGRES_URL="${TEST_POSTGRES_URL:-postgres://iot:$POSTGRES_PASSWORD@127.0.0.1:${POSTGRES_PORT:-5432}/iot}"
