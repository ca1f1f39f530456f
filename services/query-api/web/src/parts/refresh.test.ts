import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Refresh } from "./refresh";

const page = Object.assign(new EventTarget(), { hidden: false });
Object.assign(globalThis, { document: page });

beforeEach(() => {
  page.hidden = false;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

// asked has a Refresh whose requests end when they are told to.
function asked(timing = { soon: 1_000, idle: 60_000 }) {
  const requests: { signal: AbortSignal; end: () => void }[] = [];
  const refresh = new Refresh((signal) => new Promise((end) => requests.push({ signal, end })), timing);
  const settle = async () => {
    requests.at(-1)!.end();
    for (let n = 0; n < 5; n++) await Promise.resolve();
  };
  return { refresh, requests, settle };
}

test("news are asked for once, soon, however many there are", async () => {
  const { refresh, requests, settle } = asked();
  void refresh.now();
  await settle();
  for (let n = 0; n < 100; n++) {
    refresh.news();
    mock.timers.tick(9);
  }
  assert.equal(requests.length, 1);
  mock.timers.tick(100);
  assert.equal(requests.length, 2);
  await settle();
  mock.timers.tick(59_999);
  assert.equal(requests.length, 2);
  mock.timers.tick(1);
  assert.equal(requests.length, 3, "without news");
});

test("news that come while it asks are asked for after that", async () => {
  const { refresh, requests, settle } = asked();
  void refresh.now();
  refresh.news();
  mock.timers.tick(1_000);
  assert.equal(requests.length, 1);
  await settle();
  mock.timers.tick(1_000);
  assert.equal(requests.length, 2);
});

test("another thing is asked for at once, and the one before is given up", async () => {
  const { refresh, requests, settle } = asked();
  void refresh.now();
  void refresh.now();
  assert.deepEqual(requests.map(({ signal }) => signal.aborted), [true, false]);
  await settle();
  refresh.close();
  refresh.news();
  mock.timers.tick(100_000);
  assert.equal(requests.length, 2);
});

test("nothing is asked for while nobody looks, and at once when somebody does", async () => {
  const { refresh, requests, settle } = asked();
  void refresh.now();
  await settle();
  page.hidden = true;
  refresh.news();
  mock.timers.tick(600_000);
  assert.equal(requests.length, 1);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(requests.length, 2);
});
