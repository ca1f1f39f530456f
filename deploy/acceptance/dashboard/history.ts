import { type Telltale, until } from "./telltale.ts";

const minute = 60_000, hour = 60 * minute;

// start is that of the day which importHistory imports, and day the address of a page that shows it.
export const start = Date.parse("2026-03-10T00:00:00Z");
export const end = start + 24 * hour;
export const day = `from=${new Date(start).toISOString()}&to=${new Date(end).toISOString()}`;

// importHistory imports a day of readings, one a minute, of room-1, room-2 and room-3. The second is silent from 10 to 12,
// but for one reading in the middle.
export async function importHistory(site: Telltale): Promise<void> {
  const lines: string[] = [];
  for (let at = 0; at < 24 * hour; at += minute) {
    const temperature = 20 + 3 * Math.sin((at / hour / 12) * Math.PI);
    for (const n of [1, 2, 3]) {
      if (n === 2 && at >= 10 * hour && at < 12 * hour && at !== 11 * hour) continue;
      lines.push(JSON.stringify({
        device_id: `room-${n}`, timestamp: new Date(start + at).toISOString(),
        temperature: Number((temperature + n).toFixed(2)), humidity: 40 + n, co2: 400 + at / minute, co2_unit: "ppm",
      }));
    }
  }
  await importFile(site, "application/x-ndjson", lines);
}

// importFile imports a file, and returns when all its readings can be read. With CSV the first line is the header.
export async function importFile(site: Telltale, type: "application/x-ndjson" | "text/csv", lines: string[]): Promise<void> {
  const answer = await fetch(`${site.url}/api/readings/import/`, { method: "POST", headers: { "Content-Type": type }, body: lines.join("\n") });
  if (!answer.ok) throw new Error(await answer.text());
  const { accepted } = (await answer.json()) as { accepted: number };
  await until(async () => (await site.api("GET", "/api/readings/stats/")).total_readings >= accepted);
}
