import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Fleet } from "../fleet";
import { age, integer, moment, unitOf, withUnit } from "../format";
import { type Latest, ordered, unitsOf } from "../latest";
import { text } from "../text";
import type { Device } from "../types";
import { Visible } from "../visible";
import { Age } from "./age";
import { now } from "./clock";
import { Sparkline } from "./sparkline";
import { StatusBadge } from "./status";
import { useWindow } from "./window";

const shownValues = 3; // of a device
const sameMoment = 10_000; // ms; a value that is older than the newest by more shows an age of its own

// DeviceTable has a row for each device, of which those are there that can be seen, and the one that has the focus. On a
// narrow screen a row is a card.
export function DeviceTable({ fleet, rows }: { fleet: Fleet; rows: Device[] }) {
  const visible = useMemo(() => new Visible(fleet), [fleet]);
  useEffect(() => () => visible.close(), [visible]);
  const { container, probe, height, from, to } = useWindow(rows.length);
  const focused = useSignal<number | null>(null);
  const there = rows.slice(from, to).map((device, n) => ({ device, index: from + n }));
  useEffect(() => visible.see(rows.slice(from, to)), [rows, from, to]);

  const pinned = focused.value === null ? -1 : rows.findIndex(({ id }) => id === focused.value);
  const device = rows[pinned];
  if (device && (pinned < from || pinned >= to)) there.push({ device, index: pinned });
  const o = text.overview;
  return (
    <div class="devices" role="table" aria-label={o.title} aria-rowcount={rows.length + 1}>
      <div role="rowgroup" class="heads">
        <div role="row" aria-rowindex={1} class="device">
          {[o.device, o.values, o.hour, o.age, o.status].map((head) => (
            <span key={head} role="columnheader">
              {head}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={container}
        role="rowgroup"
        class="window"
        style={{ height: `${rows.length * height}px` }}
        onFocusIn={(event) => (focused.value = Number((event.target as Element).closest<HTMLElement>("[data-id]")?.dataset["id"]))}
        onFocusOut={() => (focused.value = null)}
      >
        <span ref={probe} class="probe" aria-hidden="true" />
        {there.map(({ device, index }) => (
          <Row key={device.id} {...{ device, index, fleet, visible }} top={index * height} />
        ))}
      </div>
    </div>
  );
}

function Row({ device, index, top, fleet, visible }: { device: Device; index: number; top: number; fleet: Fleet; visible: Visible }) {
  void fleet.values.value;
  void visible.changed.value;
  const latest = fleet.latest.get(device.id);
  const stale = latest !== undefined && now.value - latest.at > 1000 * device.offline_after;
  const { name, key, location } = device;
  const seen = device.last_seen;
  return (
    <div role="row" aria-rowindex={index + 2} class="device" data-id={device.id} style={{ transform: `translateY(${top}px)` }}>
      <span role="cell" class="name">
        <a href={`/devices/${encodeURIComponent(key ?? device.id)}`} title={name}>
          <bdi>{name}</bdi>
        </a>
        <small title={location ?? undefined}>
          <bdi>{location ?? (key === null || key === name ? "" : key)}</bdi>
        </small>
      </span>
      <span role="cell" class={stale ? "values stale" : "values"}>
        {latest ? <Values latest={latest} /> : text.unknown}
      </span>
      <span role="cell" class="line">
        <Sparkline spark={visible.spark(device)} end={now.value} />
      </span>
      <span role="cell" class="age-cell">
        <Age at={latest && new Date(latest.at).toISOString()} stale={stale} />
      </span>
      <span role="cell" class="status-cell">
        <StatusBadge status={device.status} />
        {seen !== null && <small title={moment(seen)}>{text.overview.seen(age(now.value - Date.parse(seen)))}</small>}
      </span>
    </div>
  );
}

function Values({ latest }: { latest: Latest }) {
  const names = ordered(latest);
  const units = unitsOf(latest);
  return (
    <>
      {names.slice(0, shownValues).map((name) => {
        const { value, at } = latest.values.get(name)!;
        return (
          <span key={name} class="value" title={`${name}, ${moment(at)}`}>
            <small>
              <bdi>{name}</bdi>
              {latest.at - at > sameMoment && `, ${age(now.value - at)}`}
            </small>
            <span>{withUnit(value, unitOf(name, units))}</span>
          </span>
        );
      })}
      {names.length > shownValues && (
        <span class="quiet" title={names.slice(shownValues).join(", ")}>
          {text.overview.more(integer(names.length - shownValues))}
        </span>
      )}
    </>
  );
}
