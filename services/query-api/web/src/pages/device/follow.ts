import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api, ifThere, listed } from "../../api";
import { type Latest, merge, mergeAll } from "../../latest";
import { Live } from "../../live";
import { messageOf } from "../../parts/fault";
import type { Device, Reading } from "../../types";

// Among the newest readings are values of most metrics that the cache has forgotten, since they come less often.
const looksBack = 100;

// useDevice follows a device: what the API says of it, and what comes live since then.
export function useDevice(id: string) {
  const device = useSignal<Device | null>(null); // null: it is not registered
  const latest = useSignal<Latest | undefined>(undefined);
  const asked = useSignal(false); // the two are known
  const failure = useSignal<string | null>(null);
  const news = useSignal(0); // how often there was something else to see
  const deadLetterNews = useSignal(0);
  const live = useSignal<Live | null>(null);
  useEffect(() => {
    const path = encodeURIComponent(id);
    const sync = async (signal: AbortSignal) => {
      try {
        const found = await ifThere(api.get<Device>(`/api/devices/${path}/`, {}, signal));
        const [cached, readings] = await Promise.all([
          found?.last_seen ? ifThere(api.get<Reading>(`/api/latest/${path}/`, {}, signal)) : null,
          ifThere(api.get<Reading[]>(`/api/devices/${path}/readings/`, { limit: looksBack }, signal)),
        ]);
        device.value = found;
        latest.value = mergeAll([...(cached ? [cached] : []), ...(readings ?? [])]);
        asked.value = true;
        failure.value = null;
        news.value++;
        deadLetterNews.value++;
      } catch (err) {
        if (!signal.aborted) failure.value = messageOf(err);
        throw err;
      }
    };
    const follow = (live.value = new Live({ device_id: listed(id) }, {
      sync,
      reading: (reading) => {
        latest.value = merge(latest.value, reading);
        const seen = reading.received_at;
        if (device.value && seen && seen > (device.value.last_seen ?? "")) device.value = { ...device.value, last_seen: seen };
        news.value++;
      },
      device: (changed) => (device.value = "deleted" in changed ? null : changed),
      dead_letter: () => deadLetterNews.value++,
    }));
    return () => follow.close();
  }, [id]);
  return { live, device, latest, asked, failure, news, deadLetterNews };
}
