import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { api } from "../api";
import { text } from "../text";
import type { Device } from "../types";
import { messageOf } from "./fault";

const offered = 20; // who misses one writes more of its name
const typing = 200; // ms without a key before the API is asked

// DevicePicker finds a device by what is written of it: the API looks through all there are, however many. It is a combo
// box as ARIA has it: arrows go through what was found, Enter takes one, Escape closes the list.
export function DevicePicker({ full, onPick }: { full: boolean; onPick: (device: Device) => void }) {
  const id = useId();
  const written = useSignal("");
  const open = useSignal(false);
  const found = useSignal<Device[] | null>(null);
  const failure = useSignal<string | null>(null);
  const at = useSignal(0);
  useEffect(() => {
    if (!open.value) return;
    const loading = new AbortController();
    const ask = async () => {
      try {
        found.value = await api.get<Device[]>("/api/devices/", { q: written.value.trim(), limit: offered }, loading.signal);
        at.value = 0;
        failure.value = null;
      } catch (err) {
        if (!loading.signal.aborted) failure.value = messageOf(err);
      }
    };
    const later = setTimeout(() => void ask(), found.value === null ? 0 : typing);
    return () => {
      clearTimeout(later);
      loading.abort();
    };
  }, [open.value, written.value]);

  const devices = open.value ? found.value : null;
  const close = () => {
    open.value = false;
    found.value = null;
  };
  const pick = (device: Device | undefined) => {
    if (!device) return;
    written.value = "";
    close();
    onPick(device);
  };
  const keys: Record<string, () => void> = {
    ArrowDown: () => (devices ? (at.value = Math.min(at.value + 1, devices.length - 1)) : (open.value = true)),
    ArrowUp: () => (at.value = Math.max(at.value - 1, 0)),
    Enter: () => pick(devices?.[at.value]),
    Escape: close,
  };
  return (
    <div class="picker grow">
      <label for={id}>{text.explore.pick}</label>
      <input
        id={id}
        type="text"
        role="combobox"
        aria-expanded={devices !== null}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={devices?.length ? `${id}-${at.value}` : undefined}
        autocomplete="off"
        spellcheck={false}
        placeholder={text.explore.pickHint}
        disabled={full}
        value={written}
        onInput={(event) => {
          written.value = event.currentTarget.value;
          open.value = true;
        }}
        onClick={() => (open.value = true)}
        onBlur={close}
        onKeyDown={(event) => {
          const key = keys[event.key];
          if (!key) return;
          event.preventDefault();
          key();
        }}
      />
      <ul id={`${id}-list`} role="listbox" aria-label={text.explore.pick} hidden={!devices?.length}>
        {devices?.map((device, i) => (
          // Without a focus of its own: the input keeps it, and would close the list.
          <li key={device.id} id={`${id}-${i}`} role="option" aria-selected={i === at.value} onMouseDown={(event) => event.preventDefault()} onClick={() => pick(device)}>
            <bdi>{device.name}</bdi> <bdi class="quiet mono">{device.key ?? device.id}</bdi>
          </li>
        ))}
      </ul>
      <p class="quiet" role="status">
        {failure.value ?? (devices?.length === 0 && text.explore.nothingFound)}
      </p>
    </div>
  );
}
