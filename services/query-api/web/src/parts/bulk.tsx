import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Query, api, ask, nextOf } from "../api";
import { visible } from "../bytes";
import { type Filter, queryOf } from "../deadletters";
import { integer } from "../format";
import { text } from "../text";
import type { DeadLetter, DeadLetterStats, Replay } from "../types";
import { Confirm, Dialog } from "./dialog";
import { messageOf } from "./fault";
import { Alert } from "./form";
import { useLoaded } from "./loaded";

const perRequest = 100;

interface BulkProps {
  what: "replay" | "delete";
  filter: Filter;
  newest: DeadLetter; // of those that are listed: what comes later is not meant
  onClose: () => void;
  done: (said: string) => void;
}

// Bulk replays or deletes all that a filter selects, after it has said how many these are.
export function Bulk({ what, filter, newest, onClose, done }: BulkProps) {
  const words = text.deadLetters;
  const query: Query = { ...queryOf(filter), until: new Date(Date.parse(newest.received_at) + 1).toISOString() };
  if (what === "replay") query["replayed"] = "false";
  const { value: stats, failure } = useLoaded((signal) => api.get<DeadLetterStats>("/api/dead-letters/stats/", query, signal), []);
  const replaying = useSignal(false);
  const counts = stats.value;
  if (replaying.value && counts) return <Replaying query={query} total={counts.total} onClose={onClose} done={done} />;
  const title = what === "delete" ? words.toDelete : words.toReplay;
  return (
    <Confirm
      title={counts ? title(integer(counts.total)) : words.counting}
      action={what === "delete" ? text.delete : words.replay}
      ready={counts !== null && counts.total > 0}
      closes={what === "delete"}
      onClose={onClose}
      confirm={async () => {
        if (what === "replay") return void (replaying.value = true);
        const { deleted } = await api.delete<{ deleted: number }>("/api/dead-letters/", query);
        done(words.deletedAll(integer(deleted)));
      }}
    >
      <Alert message={failure.value} />
      {counts && (
        <>
          <p>{words.listed}</p>
          <ul>
            {counts.by_reason.map(({ reason, count }) => (
              <li key={reason}>
                {reason}: {integer(count)}
              </li>
            ))}
          </ul>
          {what === "delete" && <p>{words.goneAll}</p>}
        </>
      )}
    </Confirm>
  );
}

// Replaying replays some at a time, and says what has become of them.
function Replaying({ query, total, onClose, done }: { query: Query; total: number; onClose: () => void; done: (said: string) => void }) {
  const words = text.deadLetters;
  const outcomes = useSignal({ replayed: 0, rejected: 0, unavailable: 0 });
  const reasons = useSignal(new Map<string, number>()); // of those that were rejected
  const failure = useSignal<string | null>(null);
  const running = useSignal(true);
  const stopped = useRef(false);
  const summary = () => {
    const { replayed, rejected, unavailable } = outcomes.value;
    return words.summary(integer(replayed), integer(rejected), integer(unavailable));
  };
  const run = async () => {
    const { replayed: _, ...selects } = query; // it replays what was not replayed
    let next: string | null = "/api/dead-letters/replay/";
    try {
      for (let first = true; next !== null && !stopped.current; first = false) {
        const answer = await ask("POST", next, first ? { query: { ...selects, limit: perRequest } } : {});
        const { results } = (await answer.json()) as { results: Replay[] };
        const sums = { ...outcomes.value };
        const why = new Map(reasons.value);
        for (const { outcome, reason } of results) {
          sums[outcome]++;
          if (reason) why.set(reason, (why.get(reason) ?? 0) + 1);
        }
        [outcomes.value, reasons.value] = [sums, why];
        next = nextOf(answer.headers.get("Link"), answer.url);
      }
    } catch (err) {
      failure.value = messageOf(err);
    }
    running.value = false;
    done(summary());
  };
  useEffect(() => {
    void run();
    return () => void (stopped.current = true);
  }, []);
  const { replayed, rejected, unavailable } = outcomes.value;
  return (
    <Dialog title={words.replaying} onClose={onClose}>
      <Alert message={failure.value} />
      <p role="status">{running.value ? words.progress(integer(replayed + rejected + unavailable), integer(total)) : summary()}</p>
      <progress aria-label={words.replaying} max={total} value={replayed + rejected + unavailable} />
      <ul>
        {[...reasons.value].map(([reason, count]) => (
          <li key={reason}>
            {visible(reason)}: {integer(count)}
          </li>
        ))}
      </ul>
      <button type="button" onClick={onClose}>
        {running.value ? words.stop : words.close}
      </button>
    </Dialog>
  );
}
