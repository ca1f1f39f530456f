// Some devices and metrics in one chart, with statistics. What is shown stands in the address, so it can be sent to others.
import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, api, ifThere, listed, serverNow } from "../api";
import { integer, unitOf, withUnit } from "../format";
import { mergeAll, unitsOf } from "../latest";
import { Live } from "../live";
import { Chart, MAX_DEVICES } from "../parts/chart/chart";
import { Controls } from "../parts/chart/controls";
import type { Subject } from "../parts/chart/lines";
import { Metrics, useMetrics } from "../parts/chart/metrics";
import { isLast, spanOf } from "../parts/chart/range";
import { exportAddress, readSeries } from "../parts/chart/series";
import { type Statistics, percentileQuery, statistics, statisticsQuery } from "../parts/chart/stats";
import { type View, viewOf } from "../parts/chart/view";
import { DevicePicker } from "../parts/device-picker";
import { Failure } from "../parts/failure";
import { messageOf } from "../parts/fault";
import { LiveBadge } from "../parts/live-badge";
import { Page } from "../parts/page";
import { useRefresh } from "../parts/refresh";
import { place, setQuery } from "../router";
import { text } from "../text";
import type { Device, Reading } from "../types";

export default function Explore() {
  const { query } = place.value;
  const view = viewOf(query);
  const devices = [...new Set(query.getAll("device"))].slice(0, MAX_DEVICES);
  const news = useSignal(0);
  const live = useNews(devices, news);
  const subjects = useSubjects(devices);
  const { known, all, shown, failure } = useMetrics(devices, view, query.getAll("metric"), news);
  useEffect(() => {
    if (!view.chosen) setQuery({ tz: view.zone }); // others see the same hours and days
  }, [view.chosen, view.zone]);

  const show = (changed: readonly string[]) => setQuery({ device: changed }, { step: true });
  return (
    <Page title={text.explore.title} aside={live && <LiveBadge live={live} />}>
      <div class="row">
        <DevicePicker full={devices.length >= MAX_DEVICES} onPick={({ id, key }) => show([...new Set([...devices, key ?? String(id)])])} />
        <ul class="chips" aria-label={text.explore.picked}>
          {subjects.map(({ id, label }) => (
            <li key={id}>
              <a href={`/devices/${encodeURIComponent(id)}`}>
                <bdi>{label}</bdi>
              </a>
              <button type="button" aria-label={text.explore.remove(label)} onClick={() => show(devices.filter((other) => other !== id))}>
                ×
              </button>
            </li>
          ))}
        </ul>
      </div>
      <Controls view={view} />
      {devices.length === 0 && <p class="card">{text.explore.none}</p>}
      {failure.value !== null && <Failure message={failure.value} />}
      {devices.length > 0 && all.length > 0 && <Metrics all={all} shown={shown} />}
      {known !== null && devices.length > 0 && shown.length === 0 && <p class="card">{text.explore.noMetrics}</p>}
      {devices.length > 0 && shown.length > 0 && (
        <>
          <Chart subjects={subjects} metrics={shown} view={view} news={news} />
          <StatisticsTable subjects={subjects} metrics={shown} view={view} news={news} />
          <p>
            <a class="button" href={exportAddress("csv", devices, view, shown)} download>
              {text.explore.csv}
            </a>
          </p>
        </>
      )}
    </Page>
  );
}

// useNews follows the devices while they are shown. It counts what comes.
function useNews(devices: readonly string[], news: { value: number }): Live | null {
  const live = useSignal<Live | null>(null);
  useEffect(() => {
    if (devices.length === 0) return;
    const follow = (live.value = new Live({ device_id: devices.map(listed) }, { sync: async () => void news.value++, reading: () => void news.value++ }));
    return () => {
      follow.close();
      live.value = null;
    };
  }, [JSON.stringify(devices)]);
  return live.value;
}

const looksBack = 20; // readings, for the units that they say

// useSubjects has the names of the devices, and the units that they say, as soon as these are known.
function useSubjects(devices: readonly string[]): Subject[] {
  const found = useSignal(new Map<string, Subject>());
  useEffect(() => {
    const loading = new AbortController();
    const read = async (id: string) => {
      const path = encodeURIComponent(id);
      const [device, readings] = await Promise.all([
        ifThere(api.get<Device>(`/api/devices/${path}/`, {}, loading.signal)),
        ifThere(api.get<Reading[]>(`/api/devices/${path}/readings/`, { limit: looksBack }, loading.signal)),
      ]);
      found.value = new Map(found.value).set(id, { id, label: device?.name ?? id, attributes: unitsOf(mergeAll(readings ?? [])) });
    };
    for (const id of devices) if (!found.peek().has(id)) read(id).catch(() => {}); // its id will do
    return () => loading.abort();
  }, [JSON.stringify(devices)]);
  return distinct(devices.map((id) => found.value.get(id) ?? { id, label: id, attributes: {} }));
}

// distinct tells devices of the same name apart.
const distinct = (subjects: readonly Subject[]): Subject[] =>
  subjects.map((one) => (subjects.some((other) => other !== one && other.label === one.label) ? { ...one, label: `${one.label} (${one.id})` } : one));

const timing = { soon: 10_000, idle: 60_000 };

interface TableProps {
  subjects: readonly Subject[];
  metrics: readonly string[];
  view: View;
  news: ReadonlySignal<unknown>;
}

function StatisticsTable({ subjects, metrics, view: { range, zone }, news }: TableProps) {
  const t = text.explore;
  const of = JSON.stringify([subjects.map(({ id }) => id), metrics]);
  const answer = useSignal<{ of: string; all: Statistics[] } | null>(null);
  const failure = useSignal<string | null>(null);
  const again = useRefresh(news, { ...timing, idle: isLast(range) ? timing.idle : Infinity }, [of, JSON.stringify(range), zone], async (signal) => {
    const span = spanOf(range, serverNow());
    const devices = subjects.map(({ id }) => id);
    try {
      const [series, percentiles] = await Promise.all([
        readSeries(devices, metrics, span, zone, statisticsQuery, signal),
        readSeries(devices, metrics, span, zone, percentileQuery, signal).catch((err) => {
          if (err instanceof ApiError && err.status === 400) return []; // of too many values
          throw err;
        }),
      ]);
      answer.value = { of, all: series.map((one, i) => statistics(one, percentiles[i])) };
      failure.value = null;
    } catch (err) {
      if (!signal.aborted) failure.value = messageOf(err);
    }
  });
  const shown = answer.value?.of === of ? answer.value.all : [];
  const columns = [["least", "min"], ["mean", "avg"], ["p95", "p95"], ["greatest", "max"], ["last", "last"]] as const;
  return (
    <section aria-labelledby="statistics">
      <h2 id="statistics">{t.statistics}</h2>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      <div class="scroll" tabIndex={0} role="region" aria-labelledby="statistics">
        <table>
          <thead>
            <tr>
              <th scope="col">{t.device}</th>
              <th scope="col">{t.metric}</th>
              <th scope="col" class="number">
                {t.count}
              </th>
              {columns.map(([name]) => (
                <th key={name} scope="col" class="number">
                  {t[name]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {subjects.flatMap((subject, s) =>
              metrics.map((metric, m) => {
                const one = shown[s * metrics.length + m];
                const unit = unitOf(metric, subject.attributes);
                return (
                  <tr key={`${subject.id} ${metric}`}>
                    <th scope="row">
                      <bdi>{subject.label}</bdi>
                    </th>
                    <td>
                      <bdi>{metric}</bdi>
                    </td>
                    <td class="number">{integer(one?.count)}</td>
                    {columns.map(([name, column]) => (
                      <td key={name} class="number">
                        {withUnit(one?.[column], unit)}
                      </td>
                    ))}
                  </tr>
                );
              }),
            )}
          </tbody>
        </table>
      </div>
      {shown.some((one) => one.count > 0 && one.p95 === null) && <p class="quiet">{t.p95Missing}</p>}
    </section>
  );
}
