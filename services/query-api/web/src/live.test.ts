import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Environment, type Handlers, Live } from "./live";

// FakeServer has a log of readings, each of which is one more than the one before, and tells of them from a place on.
class FakeServer implements Environment {
  log: number[] = [];
  first = 0; // to which the log reaches back
  up = true;
  dark = false; // the document is hidden
  asked: (string | null)[] = []; // places, by connection
  private changed = () => {};
  private streams = new Set<(piece: string) => void>();
  private cuts = new Set<() => void>();

  constructor(readonly t: TestContext) {
    t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  }

  random = () => 1; // the longest waits

  hidden = () => this.dark;

  onVisibility = (changed: () => void) => {
    this.changed = changed;
    return () => (this.changed = () => {});
  };

  fetch = async (_: string, init: RequestInit): Promise<Response> => {
    const place = (init.headers as Record<string, string>)["Last-Event-ID"] ?? null;
    this.asked.push(place);
    if (!this.up) throw new TypeError("refused");
    if (Number(place) > this.log.length) return new Response('{"last_event_id":["…"]}', { status: 400 });
    let send!: (piece: string) => void;
    let cut!: () => void;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const bytes = new TextEncoder();
        send = (piece) => controller.enqueue(bytes.encode(piece));
        cut = () => controller.error(new TypeError("cut"));
      },
    });
    this.streams.add(send);
    this.cuts.add(cut);
    init.signal!.addEventListener("abort", () => {
      this.streams.delete(send);
      if (this.cuts.delete(cut)) cut();
    });
    send(": welcome\n\n");
    if (place === null) send(`id: ${this.log.length}\n\n`);
    else if (Number(place) < this.first) send(`event: resync\nid: ${this.log.length}\ndata: {}\n\n`);
    else send(`id: ${place}\n\n`);
    if (place !== null && Number(place) >= this.first) for (let n = Number(place); n < this.log.length; n++) send(this.event(n));
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };

  private event = (n: number) => `event: reading\nid: ${n + 1}\ndata: {"device_id":${this.log[n]}}\n\n`;

  add(...values: number[]): void {
    for (const value of values) {
      this.log.push(value);
      this.send(this.event(this.log.length - 1));
    }
  }

  send(piece: string): void {
    for (const send of this.streams) send(piece);
  }

  cut(): void {
    for (const cut of this.cuts) cut();
    this.streams.clear();
    this.cuts.clear();
  }

  get connections(): number {
    return this.streams.size;
  }

  hide(dark: boolean): void {
    this.dark = dark;
    this.changed();
  }

  async pass(ms = 0): Promise<void> {
    await settle();
    this.t.mock.timers.tick(ms);
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let n = 0; n < 5; n++) await new Promise(setImmediate);
}

// follow has a page that shows the log's readings. One that the API has told of already is no news.
function follow(server: FakeServer, more: Partial<Handlers> = {}) {
  const page = { shown: [] as number[], syncs: 0 };
  const live = new Live({}, {
    sync: async () => {
      page.syncs++;
      page.shown = [...server.log];
    },
    reading: ({ device_id }) => void (page.shown.includes(device_id) || page.shown.push(device_id)),
    ...more,
  }, server);
  server.t.after(() => live.close());
  return { live, page };
}

test("it asks the API first, then goes on with what comes, and behind its place after a cut", async (t) => {
  const server = new FakeServer(t);
  server.add(1, 2);
  const { live, page } = follow(server);
  assert.equal(live.state.value.state, "connecting");
  await server.pass();
  assert.equal(live.state.value.state, "live");
  server.add(3);
  await server.pass();
  assert.deepEqual(page, { shown: [1, 2, 3], syncs: 1 });

  server.cut();
  await server.pass();
  assert.deepEqual(live.state.value, { state: "reconnecting", heard: 1_000_000 });
  server.add(4);
  await server.pass(499);
  assert.equal(server.asked.length, 1);
  await server.pass(1);
  assert.deepEqual(server.asked, [null, "3"]);
  assert.deepEqual(page, { shown: [1, 2, 3, 4], syncs: 1 });
  assert.equal(live.state.value.state, "live");
});

test("what comes while the API is asked is not lost, and not handled before", async (t) => {
  const server = new FakeServer(t);
  let answer = () => {};
  const { live, page } = follow(server, {
    sync: async () => {
      page.syncs++;
      const snapshot = [...server.log];
      await new Promise<void>((resolve) => (answer = resolve));
      page.shown = snapshot;
    },
  });
  await server.pass();
  server.add(1, 2);
  await server.pass();
  assert.deepEqual(page, { shown: [], syncs: 1 });
  assert.equal(live.state.value.state, "connecting");
  answer();
  await server.pass();
  assert.deepEqual(page, { shown: [1, 2], syncs: 1 });
});

test("a stream that says nothing for 30 s is given up, and its age is since it last spoke", async (t) => {
  const server = new FakeServer(t);
  const { live } = follow(server);
  await server.pass(20_000);
  server.send(": heartbeat\nid: 0\n\n");
  await server.pass(29_999);
  assert.equal(live.state.value.state, "live");
  await server.pass(1);
  assert.deepEqual(live.state.value, { state: "reconnecting", heard: 1_020_000 });
  assert.equal(server.connections, 0);
  await server.pass(500);
  assert.deepEqual([live.state.value.state, server.asked], ["live", [null, "0"]]);
});

test("it is closed while the page is hidden, and goes on behind its place", async (t) => {
  const server = new FakeServer(t);
  const { live, page } = follow(server);
  await server.pass();
  server.add(1);
  await server.pass();
  server.hide(true);
  assert.deepEqual([live.state.value.state, server.connections], ["paused", 0]);
  server.add(2);
  await server.pass(3_600_000);
  assert.equal(server.asked.length, 1);
  server.hide(false);
  assert.deepEqual(live.state.value, { state: "reconnecting", heard: 1_000_000 });
  await server.pass();
  assert.deepEqual([page.shown, page.syncs, live.state.value.state], [[1, 2], 1, "live"]);
});

test("where the log does not reach back, it asks the API anew", async (t) => {
  const server = new FakeServer(t);
  const { page } = follow(server);
  await server.pass();
  server.cut();
  await server.pass();
  server.add(1, 2, 3);
  server.first = 2;
  await server.pass(500);
  server.add(4);
  await server.pass();
  assert.deepEqual(page, { shown: [1, 2, 3, 4], syncs: 2 });
});

test("where its place is none any more, it begins anew", async (t) => {
  const server = new FakeServer(t);
  const { page } = follow(server);
  await server.pass();
  server.add(1, 2);
  await server.pass();
  server.log = [7];
  server.cut();
  await server.pass();
  await server.pass(500);
  await server.pass(1000);
  assert.deepEqual(server.asked, [null, "2", null]);
  assert.deepEqual(page.shown, [7]);
});

test("where the API fails, it begins again from a place of its own", async (t) => {
  const server = new FakeServer(t);
  let fails = true;
  const { page } = follow(server, {
    sync: async () => {
      page.syncs++;
      if (fails) throw new Error("503");
      page.shown = [...server.log];
    },
  });
  await server.pass();
  server.add(1);
  fails = false;
  await server.pass(500);
  assert.deepEqual(page.shown, [1]);
  assert.deepEqual(server.asked, [null, null]);
});

test("without a stream it shows what the API says, and tries again ever less often", async (t) => {
  const server = new FakeServer(t);
  server.up = false;
  server.log = [1];
  const { live, page } = follow(server);
  const at: number[] = [];
  for (let ms = 0; ms < 60_000; ms += 100) {
    const before = server.asked.length;
    await server.pass(100);
    if (server.asked.length > before) at.push(ms / 1000);
  }
  assert.deepEqual(page.shown, [1]);
  assert.equal(live.state.value.state, "reconnecting");
  const waits = at.map((moment, n) => Math.round(moment - (at[n - 1] ?? 0)));
  assert.deepEqual(waits, [0, 1, 2, 4, 8, 15, 15].slice(0, waits.length));

  server.up = true;
  await server.pass(15_000);
  assert.equal(live.state.value.state, "live");
  server.cut();
  await server.pass();
  await server.pass(500);
  assert.equal(live.state.value.state, "live");
});

test("closed, it does nothing any more", async (t) => {
  const server = new FakeServer(t);
  let answer = () => {};
  const { live, page } = follow(server, { sync: () => new Promise((resolve) => (answer = resolve)) });
  await server.pass();
  live.close();
  await server.pass();
  answer();
  server.add(1);
  server.hide(true);
  server.hide(false);
  for (let n = 0; n < 5; n++) await server.pass(60_000);
  assert.deepEqual([server.asked.length, server.connections, page.shown], [1, 0, []]);
});

test("after a thousand random cuts the page shows what there is", async (t) => {
  const server = new FakeServer(t);
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const { page } = follow(server);
  for (let n = 0; n < 1000; n++) {
    const what = random(6);
    if (what === 0) server.cut();
    else if (what === 1) server.hide(!server.dark);
    else if (what === 2) server.up = random(3) > 0;
    else if (what === 3 && random(10) === 0) server.first = server.log.length;
    else server.add(n);
    if (random(2) === 0) await server.pass(random(3000));
  }
  server.up = true;
  server.hide(false);
  await server.pass(15_000);
  await server.pass(15_000);
  assert.deepEqual(page.shown, server.log);
});
