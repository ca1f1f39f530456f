import { type ReadonlySignal, useSignal } from "@preact/signals";
import { page } from "../../api";
import { moment, number } from "../../format";
import { inOrder, metricsOf } from "../../latest";
import { exportAddress, readingsQuery } from "../../parts/chart/series";
import type { View } from "../../parts/chart/view";
import { Failure } from "../../parts/failure";
import { messageOf } from "../../parts/fault";
import { useRefresh } from "../../parts/refresh";
import { text } from "../../text";
import type { Reading } from "../../types";

const perPage = 50;
const mostColumns = 10; // of metrics; what else there is stands in the last one
const fresh = { soon: 2_000, idle: 60_000 };
const still = { soon: Infinity, idle: Infinity };

// Readings is a table of those of the range, the newest first, page by page. The first page goes on with what comes, and
// another one stays as it is.
export function Readings({ id, view, news }: { id: string; view: View; news: ReadonlySignal<unknown> }) {
  const of = JSON.stringify([id, view.range]);
  const pages = useSignal<{ of: string; before: string[] }>({ of, before: [] }); // the addresses that led here
  const before = pages.value.of === of ? pages.value.before : [];
  const at = before.at(-1) ?? null;
  const shown = useSignal<{ items: Reading[]; next: string | null } | null>(null);
  const failure = useSignal<string | null>(null);
  const again = useRefresh(news, at === null ? fresh : still, [of, at], async (signal) => {
    try {
      const first = `/api/devices/${encodeURIComponent(id)}/readings/`;
      shown.value = at === null ? await page<Reading>(first, { limit: perPage, ...readingsQuery(view) }, signal) : await page<Reading>(at, {}, signal);
      failure.value = null;
    } catch (err) {
      if (!signal.aborted) failure.value = messageOf(err);
    }
  });
  const go = (to: string[]) => (pages.value = { of, before: to });
  const next = shown.value?.next ?? null;
  const t = text.device;
  return (
    <section aria-labelledby="readings">
      <h3 id="readings">{t.readings}</h3>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      {shown.value?.items.length === 0 && <p class="quiet">{t.noReadings}</p>}
      {shown.value && shown.value.items.length > 0 && <Table readings={shown.value.items} zone={view.zone} />}
      <div class="row paging">
        <button type="button" disabled={at === null} onClick={() => go([])}>
          {t.newest}
        </button>
        <button type="button" disabled={at === null} onClick={() => go(before.slice(0, -1))}>
          {t.newer}
        </button>
        <button type="button" disabled={next === null} onClick={() => next !== null && go([...before, next])}>
          {t.older}
        </button>
        <span class="quiet">{t.files}</span>
        {(["csv", "ndjson", "parquet"] as const).map((format) => (
          <a key={format} class="button" href={exportAddress(format, [id], view)} download>
            {format === "parquet" ? "Parquet" : format.toUpperCase()}
          </a>
        ))}
      </div>
    </section>
  );
}

function Table({ readings, zone }: { readings: readonly Reading[]; zone: string }) {
  const t = text.device;
  const names = inOrder(readings.flatMap((reading) => Object.keys(metricsOf(reading))));
  const columns = names.slice(0, mostColumns);
  const rest = (reading: Reading) => {
    const others = Object.entries(metricsOf(reading)).filter(([name]) => !columns.includes(name));
    return [...others.map(([name, value]) => [name, number(value)] as const), ...Object.entries(reading.attributes ?? {})];
  };
  const more = readings.some((reading) => rest(reading).length > 0);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-labelledby="readings">
      <table class="readings">
        <thead>
          <tr>
            <th scope="col">{t.time}</th>
            {columns.map((name) => (
              <th key={name} scope="col" class="number">
                <bdi class="clamped" title={name}>
                  {name}
                </bdi>
              </th>
            ))}
            {more && <th scope="col">{t.more}</th>}
          </tr>
        </thead>
        <tbody>
          {readings.map((reading) => {
            const metrics = metricsOf(reading);
            return (
              <tr key={reading.timestamp}>
                <th scope="row">
                  <time dateTime={reading.timestamp} title={reading.timestamp}>
                    {moment(reading.timestamp, zone)}
                  </time>
                  {reading.timestamp_source === "server" && <span class="quiet"> {t.byServer}</span>}
                </th>
                {columns.map((name) => (
                  <td key={name} class="number">
                    {number(metrics[name])}
                  </td>
                ))}
                {more && (
                  <td>
                    <div class="pairs">
                      {rest(reading).map(([name, value]) => (
                        <bdi key={name} class="clamped" title={`${name}: ${value}`}>
                          {name}: {value}
                        </bdi>
                      ))}
                    </div>
                  </td>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
