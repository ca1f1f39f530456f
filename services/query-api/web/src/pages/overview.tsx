import { signal, useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { pages } from "../api";
import { Age } from "../parts/age";
import { Failure } from "../parts/failure";
import { Page } from "../parts/page";
import { text } from "../text";
import type { Device } from "../types";

const devices = signal<Device[] | null>(null);

export default function Overview() {
  const failure = useSignal<string | null>(null);
  const rows = useComputed(() => devices.value ?? []);
  const load = async (signal?: AbortSignal) => {
    try {
      const found: Device[] = [];
      for await (const page of pages<Device>("/api/devices/", {}, signal)) found.push(...page);
      devices.value = found;
      failure.value = null;
    } catch (err) {
      if (!signal?.aborted) failure.value = (err as Error).message;
    }
  };
  useEffect(() => {
    const loading = new AbortController();
    void load(loading.signal);
    return () => loading.abort();
  }, []);
  return (
    <Page title={text.overview.title}>
      {failure.value && <Failure message={failure.value} again={() => void load()} />}
      {devices.value?.length === 0 && <p>{text.overview.none}</p>}
      {rows.value.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">{text.overview.device}</th>
              <th scope="col">{text.overview.seen}</th>
            </tr>
          </thead>
          <tbody>
            {rows.value.map((device) => (
              <tr key={device.id}>
                <td>
                  <bdi>{device.name}</bdi>
                </td>
                <td>
                  <Age at={device.last_seen} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Page>
  );
}
