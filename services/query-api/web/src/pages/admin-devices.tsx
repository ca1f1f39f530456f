import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { address, api, pages } from "../api";
import { Age, Moment } from "../parts/age";
import { Confirm } from "../parts/dialog";
import { Failure } from "../parts/failure";
import { messageOf } from "../parts/fault";
import { Alert, Select, TextField, useSubmit } from "../parts/form";
import { type List, useList } from "../parts/list";
import { Page } from "../parts/page";
import { ListTable } from "../parts/table";
import { place, setQuery } from "../router";
import { text } from "../text";
import type { Device, User } from "../types";

const perPage = 100;
const typing = 250; // ms without a key before the API is asked

const pathOf = (device: Device) => `/devices/${encodeURIComponent(device.key ?? device.id)}`;

export default function AdminDevices() {
  const { query } = place.value;
  const asked = { q: query.get("q") ?? "", user: query.get("user") ?? "" };
  const devices = useList<Device>(address("/api/devices/", { ...asked, limit: perPage }));
  const users = useUsers();
  const owners = useComputed(() => new Map(users.all.value.map(({ id, username }) => [id, username])));
  const edited = useSignal<Device | null>(null);
  const deleted = useSignal<Device | null>(null);
  const said = useSignal("");
  const words = text.devices;
  return (
    <Page title={words.title}>
      {users.failure.value !== null && <Failure message={users.failure.value} again={users.again} />}
      <DeviceForm key={edited.value?.id ?? 0} device={edited.value} devices={devices} users={users.all.value} said={(what) => (said.value = what)} done={() => (edited.value = null)} />
      <p role="status">
        <bdi>{said}</bdi>
      </p>
      <Filters users={users.all.value} />
      <ListTable
        label={words.title}
        list={devices}
        none={asked.q || asked.user ? words.noneFound : words.none}
        columns={[
          {
            head: words.name,
            cell: (device) => (
              <a id={`device-${device.id}`} href={pathOf(device)}>
                <bdi>{device.name}</bdi>
              </a>
            ),
          },
          { head: words.key, cell: (device) => <bdi class="mono">{device.key ?? device.id}</bdi> },
          { head: words.owner, cell: (device) => <bdi>{owners.value.get(device.user) ?? `#${device.user}`}</bdi> },
          { head: words.location, cell: (device) => <bdi>{device.location ?? text.unknown}</bdi> },
          { head: words.seen, cell: (device) => <Age at={device.last_seen} /> },
          { head: text.created, cell: (device) => <Moment at={device.created_at} /> },
          {
            head: text.actions,
            cell: (device) => (
              <span class="row">
                <button type="button" aria-describedby={`device-${device.id}`} onClick={() => (edited.value = device)}>
                  {text.edit}
                </button>
                <button type="button" class="danger" aria-describedby={`device-${device.id}`} onClick={() => (deleted.value = device)}>
                  {text.delete}
                </button>
              </span>
            ),
          },
        ]}
      />
      {deleted.value && (
        <DeleteDevice
          key={deleted.value.id}
          device={deleted.value}
          onClose={() => (deleted.value = null)}
          done={(device) => {
            devices.items.value = devices.items.value?.filter(({ id }) => id !== device.id) ?? null;
            if (edited.value?.id === device.id) edited.value = null;
            said.value = text.deleted(device.name);
          }}
        />
      )}
    </Page>
  );
}

// useUsers reads all users, who can own a device.
function useUsers() {
  const all = useSignal<User[]>([]);
  const failure = useSignal<string | null>(null);
  const read = async (signal?: AbortSignal) => {
    try {
      const found: User[] = [];
      for await (const page of pages<User>("/api/users/", {}, signal)) found.push(...page);
      all.value = found;
      failure.value = null;
    } catch (err) {
      if (!signal?.aborted) failure.value = messageOf(err);
    }
  };
  useEffect(() => {
    const loading = new AbortController();
    void read(loading.signal);
    return () => loading.abort();
  }, []);
  return { all, failure, again: () => void read() };
}

const optionsOf = (users: User[]): [string, string][] => users.map(({ id, username }) => [String(id), username]);

// Filters are what the list is of. They stand in the address.
function Filters({ users }: { users: User[] }) {
  const { query } = place.value;
  const q = useSignal(query.get("q") ?? "");
  const user = useSignal(query.get("user") ?? "");
  useEffect(() => {
    const later = setTimeout(() => setQuery({ q: q.value.trim(), user: user.value }), typing);
    return () => clearTimeout(later);
  }, [q.value, user.value]);
  return (
    <form role="search" class="fields" onSubmit={(event) => event.preventDefault()}>
      <TextField label={text.search} type="search" value={q} />
      <Select label={text.devices.owned} value={user} options={[["", text.all], ...optionsOf(users)]} />
    </form>
  );
}

interface DeviceFormProps {
  device: Device | null; // null: a new one
  devices: List<Device>;
  users: User[];
  said: (what: string) => void;
  done: () => void;
}

function DeviceForm({ device, devices, users, said, done }: DeviceFormProps) {
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
      ...(offlineAfter.value !== before && { offline_after: offlineAfter.value === "" ? null : Number(offlineAfter.value) }),
    };
    if (device) {
      const changed = await api.patch<Device>(`/api/devices/${device.id}/`, body);
      devices.items.value = devices.items.value?.map((other) => (other.id === changed.id ? changed : other)) ?? null;
      said(text.saved(changed.name));
      leave();
    } else {
      const made = await api.post<Device>("/api/devices/", body);
      devices.items.value = [made, ...(devices.items.value ?? [])];
      name.value = location.value = key.value = offlineAfter.value = "";
      said(text.made(made.name));
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

function DeleteDevice({ device, onClose, done }: { device: Device; onClose: () => void; done: (device: Device) => void }) {
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
