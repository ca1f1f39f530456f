import { type ReadonlySignal, useSignal } from "@preact/signals";
import { address, api } from "../../api";
import { Age } from "../../parts/age";
import { Failure } from "../../parts/failure";
import { messageOf } from "../../parts/fault";
import { useRefresh } from "../../parts/refresh";
import { Table } from "../../parts/table";
import { text } from "../../text";
import type { DeadLetter } from "../../types";

const newest = 5; // the page of dead letters has all
const timing = { soon: 2_000, idle: Infinity };

export function DeadLetters({ id, news }: { id: string; news: ReadonlySignal<unknown> }) {
  const found = useSignal<DeadLetter[] | null>(null);
  const failure = useSignal<string | null>(null);
  const again = useRefresh(news, timing, [id], async (signal) => {
    try {
      found.value = await api.get<DeadLetter[]>("/api/dead-letters/", { device_id: id, limit: newest }, signal);
      failure.value = null;
    } catch (err) {
      if (!signal.aborted) failure.value = messageOf(err);
    }
  });
  const t = text.device;
  return (
    <section aria-labelledby="dead-letters">
      <h2 id="dead-letters">{t.deadLetters}</h2>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      {found.value?.length === 0 && <p class="quiet">{t.noDeadLetters}</p>}
      {found.value && found.value.length > 0 && (
        <>
          <Table
            label={t.deadLetters}
            rows={found.value}
            id={(letter) => letter.id}
            columns={[
              { head: t.reason, cell: (letter) => <a href={address("/dead-letters", { device_id: id, id: letter.id })}>{letter.reason}</a> },
              { head: t.detail, cell: (letter) => <bdi>{letter.detail}</bdi> },
              { head: t.received, cell: (letter) => <Age at={letter.received_at} /> },
            ]}
          />
          <p>
            <a href={address("/dead-letters", { device_id: id })}>{t.allDeadLetters}</a>
          </p>
        </>
      )}
    </section>
  );
}
