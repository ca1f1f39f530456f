import { type Signal, signal } from "@preact/signals";
import { api, ifThere } from "../api";
import { visible } from "../bytes";
import type { Device } from "../types";

const named = 5; // of a list: the others stand there by their ids
const maxKnown = 1000;

const known = new Map<number, Signal<string>>();
let asking = Promise.resolve();

// nameOf is what a device is called, and its id until that is known. One is asked for after the other.
function nameOf(id: number): Signal<string> {
  const before = known.get(id);
  if (before) return before;
  if (known.size >= maxKnown) known.clear();
  const name = signal(String(id));
  known.set(id, name);
  asking = asking.then(async () => {
    try {
      const device = await ifThere(api.get<Device>(`/api/devices/${id}/`));
      if (device) name.value = device.key === null || device.key === device.name ? device.name : `${device.name} (${device.key})`;
    } catch {
      known.delete(id); // it is asked for again with the next list
    }
  });
  return name;
}

// Devices are those that something is for, each with a link to its page.
export function Devices({ ids }: { ids: number[] }) {
  return (
    <span class="clamp">
      {ids.map((id, n) => (
        <span key={id}>
          {n > 0 && ", "}
          <a href={`/devices/${id}`}>
            <bdi>{n < named ? visible(nameOf(id).value) : id}</bdi>
          </a>
        </span>
      ))}
    </span>
  );
}
