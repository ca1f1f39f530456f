// One device: what it says now, what it has said, and why something of it does not appear.
import { type Signal, useComputed, useSignal } from "@preact/signals";
import { may } from "../access";
import { unitsOf } from "../latest";
import { Chart } from "../parts/chart/chart";
import { Controls } from "../parts/chart/controls";
import { Metrics, useMetrics } from "../parts/chart/metrics";
import { viewOf } from "../parts/chart/view";
import { Failure } from "../parts/failure";
import { LiveBadge } from "../parts/live-badge";
import { Page } from "../parts/page";
import { place } from "../router";
import type { Params } from "../routes";
import { text } from "../text";
import type { Device } from "../types";
import { DeviceCredentials } from "./device/credentials";
import { DeadLetters } from "./device/dead-letters";
import { useDevice } from "./device/follow";
import { Head } from "./device/head";
import { Readings } from "./device/readings";
import { TraceSection } from "./device/trace";
import { Unregistered } from "./device/unregistered";
import { LatestValues } from "./device/values";

export default function DevicePage({ params }: { params: Params }) {
  const id = params["id"]!; // or its key
  const { live, device, latest, asked, failure, news, deadLetterNews } = useDevice(id);
  const silent = useComputed(() => !latest.value?.values.size).value;
  const units = useComputed(() => JSON.stringify(unitsOf(latest.value))).value; // a text, so that the same units are no change
  const said = useSignal("");
  const { query } = place.value;
  const view = viewOf(query);
  const { all, shown, failure: metricsFailure } = useMetrics([id], view, query.getAll("metric"), news);
  const name = useComputed(() => device.value?.name ?? id).value; // a device changes with each reading, and its name rarely
  const registered = useComputed(() => device.value !== null).value;
  return (
    <Page title={name} aside={live.value && <LiveBadge live={live.value} />}>
      {failure.value !== null && <Failure message={failure.value} />}
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      {registered && <Head device={device as Signal<Device>} said={said} onDeleted={() => (device.value = null)} />}
      {asked.value && !registered && <Unregistered id={id} silent={silent} />}
      {asked.value && !silent && <LatestValues latest={latest} device={device} />}
      {(!asked.value || !silent) && (
        <section aria-labelledby="history">
          <h2 id="history">{text.device.history}</h2>
          <Controls view={view} />
          {metricsFailure.value !== null && <Failure message={metricsFailure.value} />}
          {all.length > 0 && <Metrics all={all} shown={shown} />}
          {shown.length > 0 && <Chart subjects={[{ id, label: name, attributes: JSON.parse(units) }]} metrics={shown} view={view} news={news} />}
          <Readings id={id} view={view} news={news} />
        </section>
      )}
      <TraceSection id={id} />
      {registered && may("change") && <DeviceCredentials id={id} />}
      <DeadLetters id={id} news={deadLetterNews} />
    </Page>
  );
}
