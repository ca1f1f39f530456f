import assert from "node:assert/strict";
import { test } from "node:test";
import { instant, isZone, wall } from "./zone";

const berlin = "Europe/Berlin";
const at = (text: string) => Date.parse(text);

test("wall and instant are each other's inverse", () => {
  for (const zone of ["UTC", berlin, "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati"]) {
    for (let ms = at("2026-01-01T00:00:00.250Z"); ms < at("2027-01-01T00:00:00Z"); ms += 7 * 3600_000 + 123_000) {
      assert.equal(wall(instant(wall(ms, zone), zone), zone), wall(ms, zone), `${zone} ${ms}`);
    }
  }
  assert.equal(wall(at("2026-07-01T12:00:00.123Z"), berlin), at("2026-07-01T14:00:00.123Z"));
});

test("a time that clocks skip is after the change, and one that they show twice the first", () => {
  assert.equal(instant(at("2026-03-29T02:30:00Z"), berlin), at("2026-03-29T01:30:00Z")); // 3:30 there
  assert.equal(instant(at("2026-10-25T02:30:00Z"), berlin), at("2026-10-25T00:30:00Z"));
  assert.equal(instant(at("2026-10-25T03:00:00Z"), berlin), at("2026-10-25T02:00:00Z"));
  assert.equal(instant(at("2026-10-25T00:00:00Z"), berlin), at("2026-10-24T22:00:00Z"));
});

test("isZone", () => {
  assert.equal(isZone(berlin), true);
  assert.equal(isZone("Mars/Olympus"), false);
});
