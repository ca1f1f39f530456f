import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { api, pages } from "../api";
import { text } from "../text";
import type { Device, User } from "../types";
import { Confirm } from "./dialog";
import { Alert, Select, TextField, useSubmit } from "./form";
import { useLoaded } from "./loaded";

// useUsers reads all users, who can own a device.
export function useUsers() {
  const { value, failure, again } = useLoaded(async (signal) => {
    const found: User[] = [];
    for await (const page of pages<User>("/api/users/", {}, signal)) found.push(...page);
    return found;
  }, []);
  return { all: useComputed(() => value.value ?? []), failure, again };
}

export const optionsOf = (users: User[]): [string, string][] => users.map(({ id, username }) => [String(id), username]);

// numberIn is null where nothing is written. What is no number is left for the API to say so.
function numberIn(written: string): number | string | null {
  const trimmed = written.trim();
  return trimmed === "" ? null : Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

interface DeviceFormProps {
  device: Device | null; // null: a new one
  users: User[];
  saved: (device: Device) => void;
  done: () => void; // it is saved, or given up
}

// DeviceForm makes a device, or changes one, with what the API says is wrong at the fields.
export function DeviceForm({ device, users, saved, done }: DeviceFormProps) {
  const name = useSignal(device?.name ?? "");
  const user = useSignal(String(device?.user ?? ""));
  const location = useSignal(device?.location ?? "");
  const key = useSignal("");
  const before = device ? String(device.offline_after ?? "") : "";
  const offlineAfter = useSignal(before);
  const opener = useRef(document.activeElement as HTMLElement | null);
  const words = text.devices;
  const leave = () => {
    done();
    opener.current?.focus();
  };
  const { form, submit, busy, errors, failure } = useSubmit(["name", "user", "location", "key", "offline_after"], async () => {
    const body = {
      name: name.value,
      location: location.value || null,
      ...(user.value && { user: Number(user.value) }),
      ...(key.value && { key: key.value }),
      ...(offlineAfter.value !== before && { offline_after: numberIn(offlineAfter.value) }),
    };
    if (device) {
      saved(await api.patch<Device>(`/api/devices/${device.id}/`, body));
      leave();
    } else {
      saved(await api.post<Device>("/api/devices/", body));
      name.value = location.value = key.value = offlineAfter.value = "";
    }
  });
  useEffect(() => {
    if (device) form.current?.querySelector("input")?.focus();
  }, []);
  const title = device ? words.change(device.name) : words.add;
  return (
    <form ref={form} class="card" aria-label={title} noValidate onSubmit={submit}>
      <h2>
        <bdi>{title}</bdi>
      </h2>
      <Alert message={failure.value} />
      <div class="fields">
        <TextField label={words.name} value={name} errors={errors.value["name"]} />
        <Select label={words.owner} value={user} errors={errors.value["user"]} options={[...(device ? [] : ([["", text.choose]] as [string, string][])), ...optionsOf(users)]} />
        <TextField label={words.location} value={location} errors={errors.value["location"]} />
        {!device && <TextField label={words.key} hint={words.keyHint} value={key} errors={errors.value["key"]} />}
        <TextField label={words.offlineAfter} hint={words.offlineAfterHint} value={offlineAfter} errors={errors.value["offline_after"]} inputMode="decimal" />
      </div>
      <div class="row">
        <button class="primary" disabled={busy}>
          {device ? text.save : words.create}
        </button>
        {device && (
          <button type="button" onClick={leave}>
            {text.cancel}
          </button>
        )}
      </div>
    </form>
  );
}

// DeleteDevice asks whether a device is to go, and says what goes with it.
export function DeleteDevice({ device, onClose, done }: { device: Device; onClose: () => void; done: (device: Device) => void }) {
  return (
    <Confirm
      title={text.reallyDelete(device.name)}
      action={text.delete}
      onClose={onClose}
      confirm={async () => {
        await api.delete(`/api/devices/${device.id}/`);
        done(device);
      }}
    >
      <p>{text.devices.whatGoes}</p>
    </Confirm>
  );
}
