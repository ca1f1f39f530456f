// Which time the charts and tables of a page show, and in which time zone. Both stand in the page's address.
import { useId, useState } from "preact/hooks";
import { serverNow } from "../../api";
import { place, setQuery } from "../../router";
import { text } from "../../text";
import { now } from "../clock";
import { type Range, type Span, isLast, lastOf, lasts, rangeQuery, shift, span, spanOf, zoom } from "./range";
import type { View } from "./view";
import { browserZone, instant, wall, zones } from "./zone";

const closer = 0.5; // of what is shown

// show goes to another range, to which the browser's button leads back.
export const show = (range: Range): void => setQuery(rangeQuery(range), { step: true });

// select is for what somebody dragged over, or typed.
export const select = ({ from, to }: Span): void => show(span(from, to, serverNow()));

export function Controls({ view }: { view: View }) {
  const shown = () => spanOf(view.range, serverNow());
  const t = text.chart.controls;
  const id = useId();
  return (
    <div class="row controls">
      <div class="row tight" role="group" aria-label={t.range}>
        {(Object.keys(lasts) as (keyof typeof lasts)[]).map((last) => (
          <button key={last} type="button" aria-pressed={view.range === last} onClick={() => show(last)} aria-label={t.lasts[last]}>
            {t.short[last]}
          </button>
        ))}
      </div>
      <div class="row tight" role="group" aria-label={t.move}>
        <button type="button" aria-label={t.earlier} title={t.earlier} onClick={() => show(shift(shown(), -closer, serverNow()))}>
          ◀
        </button>
        <button type="button" aria-label={t.in} title={t.in} onClick={() => show(zoom(shown(), closer, serverNow()))}>
          +
        </button>
        <button type="button" aria-label={t.out} title={t.out} onClick={() => show(zoom(shown(), 1 / closer, serverNow()))}>
          −
        </button>
        <button type="button" aria-label={t.later} title={t.later} disabled={isLast(view.range)} onClick={() => show(shift(shown(), closer, serverNow()))}>
          ▶
        </button>
        <button type="button" disabled={isLast(view.range)} onClick={() => show(lastOf(place.value.query))}>
          {t.reset}
        </button>
      </div>
      <FromTo key={JSON.stringify(view)} view={view} />
      <div class="field">
        <label for={id}>{t.zone}</label>
        <select id={id} value={view.chosen ? view.zone : ""} onChange={(event) => setQuery({ tz: event.currentTarget.value }, { step: true })}>
          <option value="">{t.browser(browserZone())}</option>
          {[...new Set([...(view.chosen ? [view.zone] : []), ...zones()])].map((zone) => (
            <option key={zone} value={zone}>
              {zone.replaceAll("_", " ")}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}

const second = 1000, minute = 60 * second;
const input = (ms: number, zone: string): string => new Date(Math.floor(wall(ms, zone) / second) * second).toISOString().slice(0, 19);

// FromTo has the two ends of the range, by the clocks of the zone. They go on with the clock until somebody changes them.
function FromTo({ view: { range, zone } }: { view: View }) {
  const [edited, edit] = useState<{ from: string; to: string } | null>(null);
  const span = spanOf(range, isLast(range) ? Math.floor(now.value / minute) * minute : 0);
  const { from, to } = edited ?? { from: input(span.from, zone), to: input(span.to, zone) };
  const [wrong, setWrong] = useState(false);
  const submit = (event: Event) => {
    event.preventDefault();
    const [start, end] = [from, to].map((shown) => instant(Date.parse(`${shown}Z`), zone)) as [number, number];
    setWrong(!(start < end));
    if (start < end) select({ from: start, to: end });
  };
  const t = text.chart.controls;
  return (
    <form class="row tight" onSubmit={submit}>
      <label>
        {t.from}
        <input type="datetime-local" step="1" required value={from} aria-invalid={wrong} onInput={(event) => edit({ from: event.currentTarget.value, to })} />
      </label>
      <label>
        {t.to}
        <input type="datetime-local" step="1" required value={to} aria-invalid={wrong} onInput={(event) => edit({ from, to: event.currentTarget.value })} />
      </label>
      <button type="submit">{t.show}</button>
      {wrong && (
        <p class="field-error" role="alert">
          {t.order}
        </p>
      )}
    </form>
  );
}
