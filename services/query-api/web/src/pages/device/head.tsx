import { type Signal, useSignal } from "@preact/signals";
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
          <div>
            <dt>{text.overview.status}</dt>
            <dd>
              <StatusBadge status={device.status} />
            </dd>
          </div>
          <div>
            <dt>{t.seen}</dt>
            <dd>
              <Age at={device.last_seen} />
            </dd>
          </div>
          {device.key !== null && (
            <div>
              <dt>{t.key}</dt>
              <dd>
                <bdi class="mono">{device.key}</bdi>
              </dd>
            </div>
          )}
          <div>
            <dt>{t.id}</dt>
            <dd class="mono">{device.id}</dd>
          </div>
          <div>
            <dt>{t.owner}</dt>
            <dd>
              <bdi>{owner}</bdi>
            </dd>
          </div>
          <div>
            <dt>{t.location}</dt>
            <dd>
              <bdi>{device.location ?? text.unknown}</bdi>
            </dd>
          </div>
          <div>
            <dt>{t.offlineAfter}</dt>
            <dd>{age(device.offline_after * 1000)}</dd>
          </div>
        </dl>
        <a class="button" href={`/explore?device=${encodeURIComponent(device.key ?? device.id)}`}>
          {t.explore}
        </a>
        <button type="button" onClick={() => (edited.value = device)}>
          {text.edit}
        </button>
        <button type="button" class="danger" onClick={() => (deleting.value = true)}>
          {text.delete}
        </button>
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
