import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { logIn, may, me } from "./access";
import { api, sessionOver } from "./api";

// The API of a session that has ended: 401 until somebody logs in.
let loggedIn = false;
let asked: string[] = [];

beforeEach(() => {
  [loggedIn, asked, sessionOver.value, me.value] = [false, [], false, null];
  Object.assign(globalThis, { document: new EventTarget() });
  globalThis.fetch = async (path, init) => {
    asked.push(`${init?.method} ${path}`);
    if (path === "/api/login/") loggedIn = init?.body === '{"username":"ada","password":"right"}';
    if (path === "/api/login/" && loggedIn) return Response.json({ id: 1, username: "ada", role: "operator", auth: "session" });
    return loggedIn ? Response.json({ asked: path, body: init?.body }) : Response.json({ detail: "Invalid token." }, { status: 401 });
  };
});

test("what is asked when the session has ended is answered after the log-in, unless it was given up", async () => {
  const saved = api.patch("/api/devices/1/", { name: "Hall" });
  const listed = api.get("/api/devices/");
  await new Promise(setImmediate);
  assert.equal(sessionOver.value, true);
  const givenUp = new AbortController();
  const system = assert.rejects(api.get("/api/system/", {}, givenUp.signal), { name: "AbortError" });
  givenUp.abort();
  await system;
  await assert.rejects(logIn("ada", "wrong"), { message: "Invalid token." });
  assert.equal(sessionOver.value, true);

  let looked = 0;
  document.addEventListener("visibilitychange", () => looked++);
  await logIn("ada", "right");
  assert.equal(sessionOver.value, false);
  assert.equal(looked, 1, "what asks by itself asks at once");
  assert.deepEqual(await saved, { asked: "/api/devices/1/", body: '{"name":"Hall"}' });
  assert.deepEqual(await listed, { asked: "/api/devices/", body: null });
  assert.deepEqual(asked, [
    "PATCH /api/devices/1/", "GET /api/devices/", "POST /api/login/", "POST /api/login/", "PATCH /api/devices/1/", "GET /api/devices/",
  ]);
});

test("nobody may do anything before it is known who he is", () => {
  assert.equal(may("site"), false);
  me.value = { id: 1, username: "ada", role: "member", auth: "session", may: ["change"], roles: ["member"], has_password: true };
  assert.deepEqual((["site", "change", "access", "users"] as const).filter(may), ["change"]);
});
