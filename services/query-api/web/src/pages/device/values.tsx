import type { ReadonlySignal } from "@preact/signals";
import { unitOf, withUnit } from "../../format";
import { type Latest, ordered, unitsOf } from "../../latest";
import { Age } from "../../parts/age";
import { now } from "../../parts/clock";
import { text } from "../../text";
import type { Device } from "../../types";

// LatestValues has the newest value of each metric and attribute with its age. It is grey when it is so old that the
// device would be offline if it had sent nothing else.
export function LatestValues({ latest, device }: { latest: ReadonlySignal<Latest | undefined>; device: ReadonlySignal<Device | null> }) {
  if (!latest.value) return null;
  const { values, attributes } = latest.value;
  const units = unitsOf(latest.value);
  const after = device.value?.offline_after ?? null;
  return (
    <section aria-labelledby="latest">
      <h2 id="latest">{text.device.latest}</h2>
      <ul class="latest-values">
        {ordered(latest.value).map((name) => {
          const { value, at } = values.get(name)!;
          return (
            <li key={name} class="card">
              <bdi class="quiet clamped" title={name}>
                {name}
              </bdi>
              <Shown value={withUnit(value, unitOf(name, units))} at={at} after={after} />
            </li>
          );
        })}
      </ul>
      {attributes.size > 0 && (
        <details>
          <summary>{text.device.attributes}</summary>
          <dl class="facts">
            {[...attributes].map(([name, { value, at }]) => (
              <div key={name}>
                <dt>
                  <bdi>{name}</bdi>
                </dt>
                <dd>
                  <bdi>{value}</bdi> <Age at={at} />
                </dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </section>
  );
}

function Shown({ value, at, after }: { value: string; at: number; after: number | null }) {
  const stale = after !== null && now.value - at > after * 1000;
  return (
    <>
      <strong class={stale ? "stale" : ""}>{value}</strong>
      <Age at={at} stale={stale} />
    </>
  );
}
