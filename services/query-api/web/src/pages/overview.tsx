import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { type Filter, Fleet, type Order } from "../fleet";
import { integer, number } from "../format";
import { Live } from "../live";
import { now } from "../parts/clock";
import { DeviceTable } from "../parts/device-table";
import { Failure } from "../parts/failure";
import { messageOf } from "../parts/fault";
import { Field } from "../parts/form";
import { LiveBadge } from "../parts/live-badge";
import { Page } from "../parts/page";
import { Welcome } from "../parts/welcome";
import { navigate, place, setQuery } from "../router";
import { text } from "../text";
import type { Reading, Status } from "../types";

const orders: Order[] = ["name", "seen", "status", "location"];
const statuses: Status[] = ["online", "offline", "never"];
const maxLocations = 500; // that can be chosen from; a search finds them all

// Overview is all devices with their latest values, live. Before there is one it says how one sends.
export default function Overview() {
  const fleet = useMemo(() => new Fleet(), []);
  const live = useSignal<Live | null>(null);
  const failure = useSignal<string | null>(null);
  useEffect(() => {
    const stream = new Live({}, {
      sync: async (signal) => {
        try {
          await fleet.load(signal);
          failure.value = null;
        } catch (err) {
          if (!signal.aborted) failure.value = messageOf(err);
          throw err;
        }
      },
      reading: (reading) => {
        if (fleet.loaded.value && fleet.devices.size === 0) showFirst(reading);
        fleet.reading(reading);
      },
      device: (device) => fleet.device(device),
    });
    live.value = stream;
    return () => {
      stream.close();
      fleet.close();
    };
  }, []);

  void fleet.list.value;
  const empty = fleet.loaded.value && fleet.devices.size === 0;
  return (
    <Page title={text.overview.title} aside={live.value && <LiveBadge live={live.value} />}>
      {failure.value !== null && !fleet.loaded.value && <Failure message={failure.value} />}
      {empty ? <Welcome /> : fleet.devices.size > 0 ? <Devices fleet={fleet} live={live.value} /> : failure.value === null && <p class="quiet">{text.loading}</p>}
    </Page>
  );
}

function showFirst({ device_id, device_key }: Reading): void {
  navigate(`/devices/${encodeURIComponent(device_key ?? device_id)}`);
}

// Devices is the list with what it is filtered by, which stands in the address.
function Devices({ fleet, live }: { fleet: Fleet; live: Live | null }) {
  const query = useComputed(() => place.value.query);
  const asked = (name: string) => query.value.get(name) ?? "";
  const filter = useComputed<Filter>(() => ({ q: asked("q"), status: asked("status"), user: asked("user"), location: asked("location") }));
  const order = useComputed(() => orders.find((name) => name === asked("order")) ?? "name");
  const descending = useComputed(() => asked("desc") !== "");
  const tenth = useComputed(() => (order.value === "seen" ? Math.floor(now.value / 10_000) : 0)); // rows do not jump with each reading
  const rows = useComputed(() => {
    void fleet.list.value;
    void tenth.value;
    return fleet.rows(filter.value, order.value, descending.value);
  });
  const counts = useComputed(() => (void fleet.list.value, fleet.counts()));
  const locations = useComputed(() => {
    void fleet.list.value;
    const all = new Set<string>();
    for (const { location } of fleet.devices.values()) if (location !== null && all.size < maxLocations) all.add(location);
    return [...all].sort();
  });

  const o = text.overview;
  const filtered = Object.values(filter.value).some((value) => value !== "");
  const all = fleet.devices.size;
  return (
    <>
      <p class="totals">
        <strong>{all === 1 ? o.oneDevice : o.devices(integer(all))}</strong>
        {statuses.map((status) => counts.value[status] > 0 && <span key={status}>{o.counted(integer(counts.value[status]), text.status[status])}</span>)}
        {live && <Rate fleet={fleet} live={live} />}
      </p>
      <div class="filters" role="search">
        <Field
          label={o.search}
          input={(described) => (
            <input {...described} type="search" autocomplete="off" spellcheck={false} value={filter.value.q} onInput={(event) => setQuery({ q: event.currentTarget.value })} />
          )}
        />
        <Choice label={o.status} name="status" value={filter.value.status} options={[any, ...statuses.map((status) => [status, text.status[status]] as const)]} />
        {fleet.users.value.length > 1 && (
          <Choice label={o.owner} name="user" value={filter.value.user} options={[any, ...fleet.users.value.map(({ id, username }) => [String(id), username] as const)]} />
        )}
        {locations.value.length > 0 && (
          <Choice label={o.location} name="location" value={filter.value.location} options={[any, ...locations.value.map((location) => [location, location] as const)]} />
        )}
        <Choice label={o.order} name="order" value={order.value} options={orders.map((name) => [name, o.orders[name]] as const)} />
        <button type="button" aria-pressed={descending.value} aria-label={o.descending} title={o.descending} onClick={() => setQuery({ desc: descending.value ? null : "1" })}>
          <span aria-hidden="true">{descending.value ? "↓" : "↑"}</span>
        </button>
      </div>
      <p role="status" class={filtered ? "quiet" : "hidden"}>
        {filtered && (rows.value.length === 0 ? o.none : o.found(integer(rows.value.length), integer(all)))}{" "}
        {filtered && (
          <button type="button" class="link" onClick={() => setQuery({ q: null, status: null, user: null, location: null })}>
            {o.clear}
          </button>
        )}
      </p>
      {rows.value.length > 0 && <DeviceTable fleet={fleet} rows={rows.value} />}
    </>
  );
}

// Rate is how many readings arrive at Telltale. Without the stream nobody knows here.
const Rate = ({ fleet, live }: { fleet: Fleet; live: Live }) => (
  <span>{text.overview.rate(number(live.state.value.state === "live" ? fleet.rate.perSecond(now.value) : null))}</span>
);

type Option = readonly [value: string, shown: string];
const any: Option = ["", text.overview.any];

function Choice({ label, name, value, options }: { label: string; name: string; value: string; options: Option[] }) {
  return (
    <Field
      label={label}
      input={(described) => (
        <select {...described} value={value} onChange={(event) => setQuery({ [name]: event.currentTarget.value })}>
          {options.map(([option, shown]) => (
            <option key={option} value={option}>
              {shown}
            </option>
          ))}
        </select>
      )}
    />
  );
}
