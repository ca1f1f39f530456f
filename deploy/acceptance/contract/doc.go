// Package contract tests what Telltale promises to devices, HTTP clients, operators and other
// programs on the Kafka topic. They see a deployment only from the outside, through MQTT, Kafka and HTTP
// clients of other projects, and each subtest is named after the promise that it checks.
//
// The deployment is given by variables; without ACCEPT_HTTP_URL the tests build all-in-one, and start it on
// free ports and a temporary directory.
//
//	ACCEPT_HTTP_URL       the HTTP API, such as http://localhost:8000
//	ACCEPT_TOKEN          a token of an admin there, where the API asks for one
//	ACCEPT_MQTT_URL       where devices publish, such as tcp://localhost:1883; as a user who may publish for every
//	                      device, and subscribe, where it asks for one
//	ACCEPT_MQTT_WS_URL    MQTT over WebSocket, such as ws://localhost:9001/mqtt; without it, that is not tested
//	ACCEPT_MQTT_MODE      listen: mqtt-bridge is that endpoint itself; subscribe: it is a broker; shared: it
//	                      is a broker, and replicas of mqtt-bridge share its messages
//	ACCEPT_KAFKA_BROKERS  bootstrap servers, separated by commas
//	ACCEPT_KAFKA_TOPIC    default raw-data
//	ACCEPT_OPS_URLS       the operations ports of all services, separated by commas; without them, their
//	                      tests have nothing to look at
//	ACCEPT_LATEST_TTL     the LATEST_TTL of the deployment; its end is waited for when it is 10 s or less
//
// The deployment may be old and full, and other devices may publish, but for the quiet moments in which
// TestConservation adds up what all services have counted: every run uses device ids and user names
// of its own, and removes the users and devices in the end. The readings stay.
//
// The package does not check what needs a fault to be seen, such as 503 while a store is away.
package contract
