import { visible } from "../bytes";
import { number } from "../format";
import { text } from "../text";
import type { Explanation, Reading } from "../types";
import { Moment } from "./age";
import { Table } from "./table";

const deviceOf = ({ device_id, device_key }: Reading): string => device_key ?? String(device_id);

function valuesOf({ temperature, humidity, metrics, attributes }: Reading): [string, string][] {
  const values = Object.entries({ ...(temperature !== null && { temperature }), ...(humidity !== null && { humidity }), ...metrics });
  return [...values.map(([name, value]): [string, string] => [name, number(value)]), ...Object.entries(attributes ?? {}).map(([name, value]): [string, string] => [name, JSON.stringify(value)])];
}

// Explained is what a message becomes by the rules, and which one reads it.
export function Explained({ explanation }: { explanation: Explanation }) {
  const { rule, file, detail, readings, rejected, omitted, complete } = explanation;
  const words = text.mappings;
  return (
    <div class="explained">
      <p>
        <strong class={readings.length > 0 ? "good" : "bad"}>{rule === null ? words.noRule : words.matched(rule, file === "rule" ? words.yours : (file ?? ""))}</strong>
        {detail && <bdi> {visible(detail)}</bdi>}
      </p>
      {readings.length > 0 && (
        <>
          <h3>{words.readings(readings.length)}</h3>
          <Table
            label={words.readings(readings.length)}
            rows={readings.map((reading, i) => ({ ...reading, i }))}
            id={({ i }) => i}
            columns={[
              { head: text.overview.device, cell: (reading) => <bdi>{visible(deviceOf(reading))}</bdi> },
              { head: words.time, cell: (reading) => <><Moment at={reading.timestamp} /> {reading.timestamp_source === "server" && <span class="quiet">{words.ofReceipt}</span>}</> },
              {
                head: words.values,
                cell: (reading) => (
                  <ul class="values">
                    {valuesOf(reading).map(([name, value]) => (
                      <li key={name}>
                        <bdi>{visible(name)}</bdi>: <bdi class="mono">{visible(value)}</bdi>
                      </li>
                    ))}
                  </ul>
                ),
              },
            ]}
          />
        </>
      )}
      {rejected.length > 0 && (
        <>
          <h3>{words.rejected(rejected.length)}</h3>
          <ul>
            {rejected.map(({ reason, detail }, i) => (
              <li key={i}>
                <code>{reason}</code> <bdi>{visible(detail)}</bdi>
              </li>
            ))}
          </ul>
        </>
      )}
      {omitted.length > 0 && (
        <>
          <h3>{words.omitted(omitted.length)}</h3>
          <ul>
            {omitted.map(({ member, reason, example }, i) => (
              <li key={i}>
                <bdi class="mono">{visible(member)}</bdi>: <bdi>{visible(reason)}</bdi> (<bdi class="mono">{visible(example)}</bdi>)
              </li>
            ))}
          </ul>
        </>
      )}
      {!complete && <p class="quiet">{words.incomplete}</p>}
    </div>
  );
}
