// Where devices publish to.

export interface Endpoint {
  host: string;
  port: string;
}

const defaultPort = "1883";

// endpointOf is where devices reach Telltale, as far as a browser knows that came to it by the name host: where Telltale
// listens itself, its address has the port; else address is that of a broker.
export function endpointOf(host: string, mqtt?: { listens: boolean; address: string } | null): Endpoint {
  host = host.replace(/^\[(.*)\]$/, "$1"); // IPv6, in a URL
  const [, brokerHost, port] = /^(?:\w+:\/\/)?(?:[^@/]*@)?(.*?)(?::(\d+))?\/?$/.exec(mqtt?.address ?? "") ?? [];
  return { host: mqtt && !mqtt.listens && brokerHost ? brokerHost.replace(/^\[(.*)\]$/, "$1") : host, port: port ?? defaultPort };
}

// isLoopback reports whether a host is the machine that says so itself.
export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

// commands are what has a device of a family send to an endpoint, and what sends as one of it does.
export function commands({ host, port }: Endpoint, origin: string) {
  const publish = (topic: string, payload: string) => `mosquitto_pub -h ${host} -p ${port} -q 1 -t ${topic} -m '${payload}'`;
  const reading = '{"temperature": 21.5, "humidity": 40}';
  const server = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return {
    own: publish("sensors/my-sensor/data", reading),
    ownHTTP: `curl -X POST ${origin}/api/devices/my-sensor/readings/ -H 'Content-Type: application/json' -d '${reading}'`,
    tasmota: `Backlog MqttHost ${host}; MqttPort ${port}; Topic boiler_room`,
    tasmotaTry: publish("tele/boiler_room/SENSOR", '{"AM2301":{"Temperature":21.4,"Humidity":44.1},"TempUnit":"C"}'),
    zigbee2mqtt: `mqtt:\n  base_topic: zigbee2mqtt\n  server: mqtt://${server}`,
    zigbee2mqttTry: publish("zigbee2mqtt/kitchen", '{"battery":91,"humidity":51.2,"temperature":20.9}'),
    shelly: `http://SHELLY/rpc/MQTT.SetConfig?config={"enable":true,"server":"${server}","rpc_ntf":true}`,
    shellyTry: publish("shellyplusht-a1b2c3d4e5f6/events/rpc", '{"src":"shellyplusht-a1b2c3d4e5f6","method":"NotifyStatus","params":{"temperature:0":{"tC":19.6}}}'),
  };
}
