import { useSignal } from "@preact/signals";
import { Credentials } from "../../parts/credentials";
import { text } from "../../text";

const words = text.access.credentials;

// DeviceCredentials are asked for when somebody opens them: few who look at a device change how it gets in.
export function DeviceCredentials({ id }: { id: string }) {
  const open = useSignal(false);
  return (
    <details onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>
        <h2>{words.title}</h2>
      </summary>
      {open.value && (
        <>
          <p class="quiet">{words.deviceAbout}</p>
          <Credentials path={`/api/devices/${encodeURIComponent(id)}/credentials/`} device={id} />
        </>
      )}
    </details>
  );
}
