// Charts of some metrics of some devices over a range of time. Each unit has a plot of its own, below each other with the
// same times: on two axes lines would meet where nothing does, and a third unit would have none.
//
// What is drawn is what the API answers, and it is asked again when there is news, and while the range goes on with the
// clock. Readings that come live are not drawn themselves: they may be in the middle of a bucket, or late.
import { type ReadonlySignal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { serverNow } from "../../api";
import { integer, moment, withUnit } from "../../format";
import { text } from "../../text";
import type { Series } from "../../types";
import { Failure } from "../failure";
import { messageOf } from "../fault";
import { type Timing, useRefresh } from "../refresh";
import { select } from "./controls";
import { type Curves, align, gapsIn } from "./curves";
import { type Line, type Subject, colors, dashes, plotsOf } from "./lines";
import { Plot } from "./plot";
import { type Range, type Span, isLast, spanOf } from "./range";
import { readSeries } from "./series";
import type { View } from "./view";

// MAX_DEVICES and MAX_METRICS are how many a chart shows: as many as there are colors, and dashes.
export const MAX_DEVICES = colors;
export const MAX_METRICS = dashes.length;

interface Props {
  subjects: readonly Subject[];
  metrics: readonly string[];
  view: View;
  news: ReadonlySignal<unknown>; // changes when there may be something else to see
}

export function Chart({ subjects, metrics, view: { range, zone }, news }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const points = usePoints(root);
  const of = JSON.stringify([subjects.map(({ id }) => id), metrics]);
  const answer = useSignal<{ of: string; span: Span; series: Series[] } | null>(null);
  const failure = useSignal<string | null>(null);
  const again = useRefresh(news, timing(range, points), [of, JSON.stringify(range), zone, points], async (signal) => {
    if (points === 0 || subjects.length * metrics.length === 0) return;
    const span = spanOf(range, serverNow());
    try {
      const series = await readSeries(subjects.map(({ id }) => id), metrics, span, zone, { points }, signal);
      answer.value = { of, span, series };
      failure.value = null;
    } catch (err) {
      if (!signal.aborted) failure.value = messageOf(err);
    }
  });
  const shown = answer.value?.of === of ? answer.value : null;
  return (
    <div class="charts" ref={root} aria-busy={!shown}>
      {failure.value && <Failure message={failure.value} again={again} />}
      {!shown && !failure.value && <p class="quiet">{text.loading}</p>}
      {shown && plotsOf(subjects, metrics, shown.series).map((lines) => <Figure key={lines[0]!.label} lines={lines} span={shown.span} zone={zone} />)}
    </div>
  );
}

const fewest = 100, most = 3840; // points: a phone, and a screen of 4K
const step = 100; // px: that a window is made larger asks for nothing new at each px

// usePoints is how many points the chart has room for: one a px. It is 0 before that is known.
function usePoints(root: RefObject<HTMLElement | null>): number {
  const [points, set] = useState(0);
  useEffect(() => {
    const resized = new ResizeObserver(([entry]) => set(Math.min(most, Math.max(fewest, Math.ceil(entry!.contentRect.width / step) * step))));
    resized.observe(root.current!);
    return () => resized.disconnect();
  }, []);
  return points;
}

// What lives is stored within a second; and nothing that is less than a px can be seen.
function timing(range: Range, points: number): Timing {
  const { from, to } = spanOf(range, 0);
  const px = (to - from) / Math.max(points, 1);
  return { soon: Math.min(Math.max(px, 1_500), 5_000), idle: isLast(range) ? Math.min(Math.max(px, 10_000), 60_000) : Infinity };
}

function Figure({ lines, span, zone }: { lines: readonly Line[]; span: Span; zone: string }) {
  const series = lines.map((line) => line.series);
  const curves = useMemo(() => align(series), series);
  const summaries = lines.map((line) => summary(line));
  const period = text.chart.period(moment(span.from, zone), moment(span.to, zone));
  return (
    <figure class="card">
      <Plot name={`${period} ${summaries.join(" ")}`} lines={lines} curves={curves} span={span} zone={zone} onSelect={select} />
      {curves.t.length === 0 && <p class="quiet">{text.chart.none}</p>}
      <Values lines={lines} curves={curves} zone={zone} />
    </figure>
  );
}

// summary says what a line shows, for those who do not see it.
function summary({ label, unit, series }: Line): string {
  const known = (values: readonly (number | null)[] | undefined) => (values ?? []).filter((value) => value !== null);
  const count = series.count.reduce((sum, n) => sum + n, 0);
  if (count === 0) return text.chart.empty(label);
  const [least, greatest] = [known(series.min).reduce((a, b) => Math.min(a, b), Infinity), known(series.max).reduce((a, b) => Math.max(a, b), -Infinity)];
  return text.chart.summary(label, integer(count), withUnit(least, unit), withUnit(greatest, unit), gapsIn(series));
}

const rows = 200; // of the table, of which the newest are there

// Values is a table of what the plot shows. It is there once somebody wants it.
function Values({ lines, curves: { t, curves }, zone }: { lines: readonly Line[]; curves: Curves; zone: string }) {
  const [open, setOpen] = useState(false);
  const places = open ? t.map((_, i) => i).filter((i) => curves.some((curve) => curve.avg[i] != null)).reverse() : [];
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{text.chart.table}</summary>
      {open && (
        <div class="scroll" tabIndex={0} role="region" aria-label={text.chart.table}>
          <table>
            <thead>
              <tr>
                <th scope="col">{text.chart.time}</th>
                {lines.map((line) => (
                  <th key={line.label} scope="col">
                    <bdi>{line.label}</bdi>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {places.slice(0, rows).map((i) => (
                <tr key={t[i]}>
                  <th scope="row">{moment(t[i], zone)}</th>
                  {lines.map((line, n) => (
                    <td key={line.label}>{cell(line, curves[n]!, i)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {places.length > rows && <p class="quiet">{text.chart.more(integer(rows))}</p>}
        </div>
      )}
    </details>
  );
}

function cell({ unit }: Line, { avg, min, max, count }: Curves["curves"][number], i: number): string {
  if (avg[i] == null) return text.unknown;
  const mean = withUnit(avg[i], unit);
  return count[i]! > 1 ? `${mean} ${text.chart.between(withUnit(min[i], unit), withUnit(max[i], unit))}` : mean;
}
