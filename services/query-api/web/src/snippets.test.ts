import assert from "node:assert/strict";
import { test } from "node:test";
import { snippets } from "./snippets";

const endpoint = { host: "telltale.example", port: "8883", tls: false };

test("a device's lines name it where the topic can, and keep odd characters", () => {
  const lines = snippets(endpoint, { user: "hall", password: "x-Y_1", device: "hall" });
  assert.equal(lines.shell, `mosquitto_pub -h telltale.example -p 8883 -u hall -P x-Y_1 -q 1 -t sensors/hall/data -m '{"temperature":21.5}'`);
  assert.match(lines.arduino!, /mqtt\.publish\("sensors\/hall\/data", "\{\\"temperature\\":21\.5\}"\)/);
  assert.match(lines.python!, /auth=\{"username": "hall", "password": "x-Y_1"\}\)$/);

  const odd = snippets(endpoint, { user: `a'b/"c`, password: "p", device: `a'b/"c` });
  assert.match(odd.shell, /-u 'a'\\''b\/"c' -P p -q 1 -t sensors\/data -m '\{"device_id":"a'\\''b\/\\"c","temperature":21\.5\}'$/);
  assert.match(odd.python!, /single\("sensors\/data", json\.dumps\(\{"device_id":"a'b\/\\"c","temperature":21\.5\}\)/);
});

test("with TLS each trusts the authority, and a viewer only subscribes", () => {
  const lines = snippets({ ...endpoint, tls: true }, { user: "hall", password: "p", device: "hall" });
  assert.match(lines.shell, / --cafile ca\.crt /);
  assert.match(lines.arduino!, /net\.setCACert\(ca\)/);
  assert.match(lines.python!, /tls=\{"ca_certs": "ca\.crt"\}/);
  assert.deepEqual(snippets(endpoint, { user: "screen", password: "p", device: "" }), {
    shell: "mosquitto_sub -h telltale.example -p 8883 -u screen -P p -t 'sensors/#' -v",
  });
});
