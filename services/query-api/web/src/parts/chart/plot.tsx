// One plot: the lines of series that have a unit in common, with the band between their least and greatest values.
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { moment, withUnit } from "../../format";
import { text } from "../../text";
import { type Curve, type Curves, nearest } from "./curves";
import { type Line, dashes } from "./lines";
import type { Span } from "./range";
import { axisNumber, labels, stepFor, ticks } from "./ticks";

const height = 240;
const tickWidth = 90; // of a label of the axis of time, in px
const shortestDrag = 4; // px; anything less is a click
const usualAxis = 52; // px, of the axis of values
const reach = 40; // px from the pointer to the value that is shown

interface Pointed {
  at: number;
  values: ({ avg: number; min: number; max: number; count: number } | null)[];
}

interface Props {
  name: string; // what it shows, for those who do not see it
  lines: readonly Line[];
  curves: Curves;
  span: Span;
  zone: string;
  onSelect: (span: Span) => void;
}

export function Plot({ name, lines, curves, span, zone, onSelect }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const pointed = useSignal<Pointed | null>(null);
  const props = useRef<Props>(null!);
  props.current = { name, lines, curves, span, zone, onSelect };
  // What a plot cannot change makes another one.
  const form = JSON.stringify(lines.map(({ label, color, dash, unit, series }) => [label, color, dash, unit, series.interval === "raw"]));

  useLayoutEffect(() => {
    const element = root.current!;
    const made = (plot.current = new uPlot(optionsFor(element, () => props.current, pointed), [[]], element));
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => made.redraw(false);
    dark.addEventListener("change", redraw);
    return () => {
      dark.removeEventListener("change", redraw);
      resized.disconnect();
      made.destroy();
      pointed.value = null;
    };
  }, [form]);

  useEffect(() => {
    const u = plot.current!;
    if (u.select.width > 0) return; // somebody is dragging; there is another chance soon
    u.batch(() => {
      u.setData([curves.t, ...curves.curves.flatMap((curve, i) => columns(curve, lines[i]!))] as uPlot.AlignedData, false);
      u.setScale("x", { min: span.from, max: span.to });
    });
  }, [form, curves, span.from, span.to, zone]);

  return (
    <>
      <Legend lines={lines} pointed={pointed} zone={zone} />
      <div class="plot" ref={root} role="img" aria-label={name} />
    </>
  );
}

// A line has its mean, and where it is of buckets the two sides of its band.
const banded = (line: Line): boolean => line.series.interval !== "raw";
const columns = (curve: Curve, line: Line) => (banded(line) ? [curve.avg, curve.max, curve.min] : [curve.avg]);

function optionsFor(element: HTMLElement, props: () => Props, pointed: Signal<Pointed | null>): uPlot.Options {
  const { lines } = props();
  const style = getComputedStyle(element);
  const color = (name: string) => () => style.getPropertyValue(name).trim();
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  const lineOf: number[] = [-1];
  lines.forEach((line, n) => {
    const stroke = color(`--c${line.color}`);
    const alone = (size: number) => ({ size, fill: stroke, filter: (_: uPlot, __: number, show: boolean) => (show ? null : (props().curves.curves[n]?.alone ?? null)) });
    const first = series.push({ stroke, width: 1.75, dash: dashes[line.dash]!.split(" ").filter(Boolean).map(Number), points: alone(5) }) - 1;
    lineOf.push(n);
    if (!banded(line)) return;
    // The edges are drawn too, thinly: of a single bucket that stands out the band alone is too narrow to be seen.
    const edge = { stroke: () => `${stroke()}80`, width: 1, points: { ...alone(3), show: false } };
    series.push(edge, edge);
    lineOf.push(n, n);
    bands.push({ series: [first + 1, first + 2], fill: () => `${stroke()}2e` });
  });
  const quiet = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, font: `12px ${style.fontFamily}` };
  const step = (u: uPlot) => stepFor(u.scales["x"]!.min!, u.scales["x"]!.max!, Math.max(2, Math.floor(u.bbox.width / devicePixelRatio / tickWidth)));
  const unit = lines[0]?.unit ?? "";
  let dragged = false; // here, and not in another plot that has the pointer too
  return {
    width: element.clientWidth,
    height,
    ms: 1,
    legend: { show: false },
    scales: { x: { time: false, auto: false } },
    series,
    bands,
    axes: [
      {
        ...quiet,
        splits: (u, _, from, to) => ticks(from, to, props().zone, step(u)),
        values: (u, splits) => labels(splits, props().zone, step(u)),
      },
      {
        ...quiet,
        label: unit || " ",
        labelSize: 18,
        labelFont: quiet.font,
        labelGap: 0,
        // Most are of the same width, so that plots below each other have the same times below each other.
        size: (u, values) => Math.max(usualAxis, ...(values ?? []).map((value) => Math.ceil(u.ctx.measureText(value).width / devicePixelRatio) + 16)),
        values: (_, splits, __, ___, increment) => splits.map((value) => axisNumber(value, increment)),
      },
    ],
    cursor: {
      y: false,
      sync: { key: "time" },
      drag: { x: true, y: false, setScale: false },
      dataIdx: (u, n, i) => (n === 0 ? i : nearest(u.data[0] as number[], u.data[n] as number[], i, u.posToVal(reach, "x") - u.posToVal(0, "x")) ?? i),
    },
    hooks: {
      ready: [(u) => u.over.addEventListener("mousedown", () => (dragged = true))],
      setCursor: [(u) => (pointed.value = whatIsAt(u, lineOf, props()))],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width === 0) return;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (dragged && width >= shortestDrag) props().onSelect({ from: u.posToVal(left, "x"), to: u.posToVal(left + width, "x") });
          dragged = false;
        },
      ],
    },
  };
}

function whatIsAt(u: uPlot, lineOf: number[], { lines, curves }: Props): Pointed | null {
  const { left, idx, idxs } = u.cursor;
  if (left === undefined || left < 0 || idx == null || !idxs) return null;
  const at = curves.t[idxs.slice(1).find((i) => i != null) ?? idx];
  if (at === undefined) return null;
  const values = lines.map((_, n) => {
    const i = idxs[lineOf.indexOf(n)];
    const { avg, min, max, count } = curves.curves[n] ?? {};
    if (i == null || avg?.[i] == null) return null;
    return { avg: avg[i], min: min![i]!, max: max![i]!, count: count![i]! };
  });
  return { at, values };
}

// Legend names the lines, and says what is under the pointer.
function Legend({ lines, pointed, zone }: { lines: readonly Line[]; pointed: Signal<Pointed | null>; zone: string }) {
  const at = pointed.value;
  return (
    <ul class="legend">
      {lines.map((line, n) => {
        const value = at?.values[n];
        return (
          <li key={line.label}>
            <svg class={`c${line.color}`} width="26" height="8" aria-hidden="true">
              <line x1="0" x2="26" y1="4" y2="4" stroke="currentColor" stroke-width="2.5" stroke-dasharray={dashes[line.dash]} />
            </svg>
            <bdi>{line.label}</bdi>
            {value && (
              <strong>
                {withUnit(value.avg, line.unit)}
                {value.count > 1 && <span class="quiet"> {text.chart.between(withUnit(value.min, line.unit), withUnit(value.max, line.unit))}</span>}
              </strong>
            )}
          </li>
        );
      })}
      <li class="quiet">{at && moment(at.at, zone)}</li>
    </ul>
  );
}
