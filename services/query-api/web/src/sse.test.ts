import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_BLOCK, Parser } from "./sse";

const stream = "\uFEFFid: 0-5\n\n: heartbeat\nid: 0-6\n\nevent: reading\r\ndata: {\"a\":\rdata: 1}\nid:0-7\r\n\r\nevent: resync\ndata\n\nretry: 5\n\n";
const blocks = [
  { event: "message", data: null, id: "0-5" },
  { event: "message", data: null, id: "0-6" },
  { event: "reading", data: '{"a":\n1}', id: "0-7" },
  { event: "resync", data: "", id: null },
];

test("a stream is the same wherever it is cut", () => {
  for (let size = 1; size <= stream.length; size++) {
    const parser = new Parser();
    const found = [];
    for (let at = 0; at < stream.length; at += size) found.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(found, blocks, `in pieces of ${size}`);
  }
});

test("an event that does not end is an error", () => {
  const parser = new Parser();
  parser.push("data: 1\n");
  assert.throws(() => parser.push("x".repeat(MAX_BLOCK)));
  const lines = new Parser();
  assert.throws(() => { for (let n = 0; n <= MAX_BLOCK / 1024; n++) lines.push(`data: ${"x".repeat(1024)}\n`); });
});
