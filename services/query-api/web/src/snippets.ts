// What a device sends with its credential, to paste: in a shell, an Arduino sketch, and a Python program.
import type { Endpoint } from "./mqtt";

export interface Login {
  user: string;
  password: string;
  device: string; // key or id that it sends for; "" where it only subscribes
}

const shell = (text: string): string => (/^[\w.@%+=:,/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// topicOf is where a device publishes. A key with a slash is no level of a topic: the message names it then.
export const topicOf = (device: string): string => (/[/+#]/.test(device) ? "sensors/data" : `sensors/${device}/data`);

export function snippets({ host, port, tls }: Endpoint & { tls: boolean }, { user, password, device }: Login) {
  const topic = topicOf(device);
  const reading = { ...(topic === "sensors/data" && { device_id: device }), temperature: 21.5 };
  const quoted = JSON.stringify;
  const to = `-h ${shell(host)} -p ${port}${tls ? " --cafile ca.crt" : ""} -u ${shell(user)} -P ${shell(password)}`;
  if (device === "") return { shell: `mosquitto_sub ${to} -t 'sensors/#' -v` };
  return {
    shell: `mosquitto_pub ${to} -q 1 -t ${shell(topic)} -m ${shell(quoted(reading))}`,
    arduino: `#include <WiFi${tls ? "ClientSecure" : ""}.h>
#include <PubSubClient.h>

WiFiClient${tls ? "Secure" : ""} net;
PubSubClient mqtt(net);
${tls ? `const char *ca = R"(what ca.crt has)";\n` : ""}
void setup() {
${tls ? "  net.setCACert(ca);\n" : ""}  WiFi.begin("your network", "its password");
  mqtt.setServer(${quoted(host)}, ${port});
}

void loop() {
  if (WiFi.status() == WL_CONNECTED && !mqtt.connected())
    mqtt.connect(${quoted(user)}, ${quoted(user)}, ${quoted(password)});
  mqtt.loop();
  mqtt.publish(${quoted(topic)}, ${quoted(quoted(reading))});
  delay(10000);
}`,
    python: `import json
import paho.mqtt.publish

paho.mqtt.publish.single(${quoted(topic)}, json.dumps(${quoted(reading)}), qos=1,
    hostname=${quoted(host)}, port=${port}, client_id=${quoted(user)},
    auth={"username": ${quoted(user)}, "password": ${quoted(password)}}${tls ? `, tls={"ca_certs": "ca.crt"}` : ""})`,
  };
}
