import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { may } from "../access";
import { address } from "../api";
import { Age, Moment } from "../parts/age";
import { DeleteDevice, DeviceForm, optionsOf, useUsers } from "../parts/device-form";
import { Failure } from "../parts/failure";
import { Select, TextField } from "../parts/form";
import { useList } from "../parts/list";
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
      {may("change") && (
        <DeviceForm
          key={edited.value?.id ?? 0}
          device={edited.value}
          users={users.all.value}
          saved={(device) => {
            const before = devices.items.value ?? [];
            devices.items.value = edited.value ? before.map((other) => (other.id === device.id ? device : other)) : [device, ...before];
            said.value = edited.value ? text.saved(device.name) : text.made(device.name);
          }}
          done={() => (edited.value = null)}
        />
      )}
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
          may("change") && {
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
