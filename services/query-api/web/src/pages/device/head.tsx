import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { may } from "../../access";
import { age } from "../../format";
import { Age } from "../../parts/age";
import { DeleteDevice, DeviceForm, useUsers } from "../../parts/device-form";
import { Failure } from "../../parts/failure";
import { StatusBadge } from "../../parts/status";
import { text } from "../../text";
import type { Device } from "../../types";

// Head is what the API knows of a device, to change it.
export function Head({ device: { value: device }, said, onDeleted }: { device: Signal<Device>; said: Signal<string>; onDeleted: () => void }) {
  const users = useUsers();
  const edited = useSignal<Device | null>(null);
  const deleting = useSignal(false);
  const owner = users.all.value.find(({ id }) => id === device.user)?.username ?? `#${device.user}`;
  const t = text.device;
  return (
    <>
      <div class="row">
        <dl class="facts grow">
          <Fact name={text.overview.status}>
            <StatusBadge status={device.status} />
          </Fact>
          <Fact name={t.seen}>
            <Age at={device.last_seen} />
          </Fact>
          {device.key !== null && (
            <Fact name={t.key}>
              <bdi class="mono">{device.key}</bdi>
            </Fact>
          )}
          <Fact name={t.id}>
            <span class="mono">{device.id}</span>
          </Fact>
          <Fact name={t.owner}>
            <bdi>{owner}</bdi>
          </Fact>
          <Fact name={t.location}>
            <bdi>{device.location ?? text.unknown}</bdi>
          </Fact>
          <Fact name={t.offlineAfter}>{age(device.offline_after * 1000)}</Fact>
        </dl>
        <div class="row tight">
          <a class="button" href={`/explore?device=${encodeURIComponent(device.key ?? device.id)}`}>
            {t.explore}
          </a>
          {may("change") && (
            <>
              <button type="button" onClick={() => (edited.value = device)}>
                {text.edit}
              </button>
              <button type="button" class="danger" onClick={() => (deleting.value = true)}>
                {text.delete}
              </button>
            </>
          )}
        </div>
      </div>
      {users.failure.value !== null && <Failure message={users.failure.value} again={users.again} />}
      {edited.value && <DeviceForm device={edited.value} users={users.all.value} saved={({ name }) => (said.value = text.saved(name))} done={() => (edited.value = null)} />}
      {deleting.value && (
        <DeleteDevice
          device={device}
          onClose={() => (deleting.value = false)}
          done={({ name }) => {
            said.value = text.deleted(name);
            onDeleted();
          }}
        />
      )}
    </>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
