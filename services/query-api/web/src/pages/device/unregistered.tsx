import { may } from "../../access";
import { Copyable } from "../../parts/copy";
import { text } from "../../text";

// Unregistered is what there is to know of a device that is not registered: not yet, or not any more.
export function Unregistered({ id, silent }: { id: string; silent: boolean }) {
  const t = text.device;
  const command = `curl -H 'Content-Type: application/json' -d '{"temperature": 21.5}' '${location.origin}/api/devices/${encodeURIComponent(id).replaceAll("'", "%27")}/readings/'`;
  return (
    <div class="card">
      <p>
        <strong>{t.unregistered}</strong> {silent ? t.nothing : t.comesBack}
      </p>
      {silent && <Copyable label={t.command}>{command}</Copyable>}
      {may("change") && (
        <p>
          <a href="/admin/devices">{t.register}</a>
        </p>
      )}
    </div>
  );
}
