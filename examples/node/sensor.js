// A sensor in Node.js. It goes on measuring while Telltale cannot be reached, and sends everything afterwards, with the
// times at which it was measured. It keeps that in memory: what has not been sent when the program ends is gone.
//
//     npm ci
//     node sensor.js

import mqtt from "mqtt";

const url = "mqtt://localhost:1883"; // or mqtt://device:password@host:1883, or ws://host:9001
const device = "node-1"; // any text; also the client id, so each device needs its own
const interval = 10_000; // milliseconds
const kept = 10_000; // readings, while Telltale cannot be reached

function measure() {
  return {
    temperature: Number((21 + Math.random()).toFixed(2)),
    humidity: Number((45 + 5 * Math.random()).toFixed(1)),
  };
}

const client = mqtt.connect(url, {
  clientId: device,
  clean: false,
  keepalive: 30,
  reconnectPeriod: 2_000,
});
client.on("connect", () => console.log("connected"));
client.on("close", () => console.log("not connected"));
client.on("error", (error) => console.log(error.message)); // without this, it would end the program

let waiting = 0;
setInterval(() => {
  const reading = JSON.stringify({ ...measure(), timestamp: new Date().toISOString() });
  if (waiting >= kept) {
    console.log("no room:", reading);
    return;
  }
  waiting++;
  // At QoS 1 it is kept until the PUBACK, and sent again after a reconnect.
  client.publish(`sensors/${device}/data`, reading, { qos: 1 }, () => waiting--);
  console.log("measured", reading);
}, interval);
