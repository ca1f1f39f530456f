import assert from "node:assert/strict";
import { test } from "node:test";
import { closed, fromBase64, fromHex, fromText, hexDump, pretty, toBase64, toHex, toText, visible } from "./bytes";

test("bytes go through base64, hexadecimal and text, and come back", () => {
  const all = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256);
  assert.deepEqual(fromBase64(toBase64(all)), all);
  assert.deepEqual(fromHex(toHex(all)), all);
  assert.equal(toText(all), null);
  for (const text of ["", "größe \u202E 🌡", "\uFEFF{}", "\0"]) assert.equal(toText(fromText(text)), text);
});

test("fromHex takes white space and both cases, and nothing else", () => {
  assert.deepEqual(fromHex(" 0aFF\n10 "), Uint8Array.of(0x0a, 0xff, 0x10));
  assert.deepEqual(fromHex(""), new Uint8Array());
  for (const wrong of ["0", "0g", "0x0a", "1 2 3"]) assert.equal(fromHex(wrong), null, wrong);
});

test("hexDump", () => {
  assert.equal(hexDump(fromText("{\"t\": 21.5}\n\x7Fäx")), [
    "000000  7b 22 74 22 3a 20 32 31 2e 35 7d 0a 7f c3 a4 78  {\"t\": 21.5}....x",
  ].join("\n"));
  assert.equal(hexDump(new Uint8Array(17)).split("\n")[1], `000010  ${"00".padEnd(47)}  .`);
});

test("pretty changes nothing but white space", () => {
  const text = '{"id": 123456789012345678901,"x":1.0,"x":[ ],"y":{"z":[1e400,"a\\"],{,:"]},\n"w":{ }}';
  assert.equal(pretty(text), `{
  "id": 123456789012345678901,
  "x": 1.0,
  "x": [],
  "y": {
    "z": [
      1e400,
      "a\\"],{,:"
    ]
  },
  "w": {}
}`);
  assert.equal(pretty(pretty(text)!), pretty(text));
  assert.equal(pretty("21.5"), "21.5");
  for (const wrong of ["", "{", "{junk", "nan", "[1,]"]) assert.equal(pretty(wrong), null, wrong);
});

test("visible shows what cannot be seen", () => {
  assert.equal(visible("a\u202Eb\0c\td\ne\r\uFEFF"), "a\\u202eb\\u0000c\td\\ne\\u000d\\ufeff".replace("\\n", "\n"));
  assert.equal(visible("größe 🌡 שלום"), "größe 🌡 שלום");
});

test("closed completes a JSON text that was cut off", () => {
  for (const text of ['{"a":1}', "[1,2]", '{"a":[{"b":"x,}"}],"c":{}}']) {
    for (let i = 1; i <= text.length; i++) JSON.parse(closed(text.slice(0, i)));
    assert.equal(closed(text), text);
  }
  assert.equal(closed('{"a":1,"b":{"c":[1,2'), '{"a":1,"b":{"c":[1]}}');
  assert.equal(closed('{"a":1,"b'), '{"a":1}');
  assert.equal(closed("21.5"), "21.5");
});
