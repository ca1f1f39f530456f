import assert from "node:assert/strict";
import { test } from "node:test";
import { commands, endpointOf, isLoopback } from "./mqtt";

test("endpointOf", () => {
  const cases: [string, { listens: boolean; address: string } | null, string, string][] = [
    ["telltale.lan", null, "telltale.lan", "1883"],
    ["10.0.0.5", { listens: true, address: ":2883" }, "10.0.0.5", "2883"],
    ["10.0.0.5", { listens: true, address: "127.0.0.1:2883" }, "10.0.0.5", "2883"],
    ["[fe80::1]", { listens: true, address: "[::]:1884" }, "fe80::1", "1884"],
    ["10.0.0.5", { listens: false, address: "tcp://mosquitto:1885" }, "mosquitto", "1885"],
    ["10.0.0.5", { listens: false, address: "ssl://user@[::1]:8883/" }, "::1", "8883"],
    ["10.0.0.5", { listens: false, address: "tcp://mosquitto" }, "mosquitto", "1883"],
    ["10.0.0.5", { listens: true, address: "" }, "10.0.0.5", "1883"],
  ];
  for (const [from, mqtt, host, port] of cases) assert.deepEqual(endpointOf(from, mqtt), { host, port }, JSON.stringify([from, mqtt]));
});

test("commands can be pasted", () => {
  const { own, zigbee2mqtt } = commands({ host: "fe80::1", port: "1884" }, "http://[fe80::1]:8000");
  assert.equal(own, `mosquitto_pub -h fe80::1 -p 1884 -q 1 -t sensors/my-sensor/data -m '{"temperature": 21.5, "humidity": 40}'`);
  assert.match(zigbee2mqtt, /server: mqtt:\/\/\[fe80::1\]:1884$/);
});

test("isLoopback", () => {
  for (const host of ["localhost", "127.0.0.1", "::1"]) assert.ok(isLoopback(host), host);
  for (const host of ["telltale", "10.127.0.1", "::", "localhost.example"]) assert.ok(!isLoopback(host), host);
});
