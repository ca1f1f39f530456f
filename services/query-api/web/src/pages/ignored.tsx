import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { may } from "../access";
import { address, api, sessionOver } from "../api";
import { visible } from "../bytes";
import { integer } from "../format";
import { Age } from "../parts/age";
import { Copyable } from "../parts/copy";
import { Confirm, Dialog } from "../parts/dialog";
import { Explained } from "../parts/explanation";
import { Failure } from "../parts/failure";
import { messageOf } from "../parts/fault";
import { useLoaded } from "../parts/loaded";
import { Page } from "../parts/page";
import { Table } from "../parts/table";
import { messageWith, suggest, whole } from "../suggest";
import { text } from "../text";
import type { Explanation, Ignored as Entry } from "../types";

const askAgain = 10_000; // ms; bridges tell of a topic once a minute

export default function Ignored() {
  const words = text.ignored;
  const { value: all, failure, again } = useLoaded((signal) => api.get<Entry[]>("/api/ignored/", {}, signal), []);
  const said = useSignal("");
  const looked = useSignal<Entry | null>(null);
  const forgetting = useSignal(false);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || sessionOver.peek() || again(), askAgain);
    return () => clearInterval(timer);
  }, []);
  return (
    <Page
      title={words.title}
      aside={
        may("change") && (
          <button type="button" class="danger" disabled={!all.value?.length} onClick={() => (forgetting.value = true)}>
            {words.forget}
          </button>
        )
      }
    >
      <p class="quiet">{words.about}</p>
      <p role="status">{said}</p>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      {all.value === null ? (
        failure.value === null && <p class="quiet">{text.loading}</p>
      ) : all.value.length === 0 ? (
        <p>{words.none}</p>
      ) : (
        <Table
          label={words.title}
          rows={all.value}
          id={({ topic, member }) => JSON.stringify([topic, member])}
          columns={[
            { head: words.topic, cell: ({ topic }) => <bdi class="mono clamp">{visible(topic)}</bdi> },
            { head: words.member, cell: ({ member }) => (member === null ? <span class="quiet">{words.whole}</span> : <bdi class="mono clamp">{visible(member)}</bdi>) },
            { head: words.count, cell: ({ count }) => integer(count), number: true },
            { head: words.last, cell: ({ last }) => <Age at={last} /> },
            { head: words.client, cell: ({ client_id }) => <bdi>{visible(client_id ?? text.unknown)}</bdi> },
            { head: words.example, cell: ({ example }) => <bdi class="mono clamp">{visible(example)}</bdi> },
            { head: words.hint, cell: ({ hint }) => <bdi>{visible(hint ?? text.unknown)}</bdi> },
            {
              head: text.actions,
              cell: (entry) => (
                <button type="button" onClick={() => (looked.value = entry)}>
                  {words.reader}
                </button>
              ),
            },
          ]}
        />
      )}
      {looked.value && <Reader entry={looked.value} onClose={() => (looked.value = null)} />}
      {forgetting.value && (
        <Confirm
          title={words.reallyForget}
          action={words.forget}
          onClose={() => (forgetting.value = false)}
          confirm={async () => {
            await api.delete("/api/ignored/");
            all.value = [];
            said.value = words.forgotten;
          }}
        >
          <p>{words.forgetting}</p>
        </Confirm>
      )}
    </Page>
  );
}

// Reader says what reads a message like the example now, and shows a rule that would.
function Reader({ entry: { topic, member, example }, onClose }: { entry: Entry; onClose: () => void }) {
  const words = text.ignored;
  const payload = member === null ? whole(example) : messageWith(member, example);
  const rule = suggest(topic, payload);
  const now = useSignal<Explanation | null>(null);
  const then = useSignal<Explanation | null>(null);
  const failure = useSignal<string | null>(null);
  const test = async () => {
    failure.value = null;
    try {
      const asked = { topic, payload };
      [now.value, then.value] = await Promise.all([
        api.post<Explanation>("/api/mappings/test/", asked),
        api.post<Explanation>("/api/mappings/test/", { ...asked, rule }),
      ]);
    } catch (err) {
      failure.value = messageOf(err);
    }
  };
  useEffect(() => void test(), []);
  return (
    <Dialog title={visible(topic)} onClose={onClose}>
      {failure.value !== null && <Failure message={failure.value} again={() => void test()} />}
      {now.value && (
        <>
          <h3>{words.now}</h3>
          <Explained explanation={now.value} />
        </>
      )}
      {payload !== example && member === null && <p class="warn">{words.cut}</p>}
      <h3>{words.rule}</h3>
      <p>{words.ruleAbout}</p>
      <Copyable label={words.ruleName}>{rule}</Copyable>
      {then.value && <Explained explanation={then.value} />}
      <p class="row">
        <a class="button" href={address("/mappings", { topic, payload, rule })}>
          {words.tryIt}
        </a>
        <button type="button" onClick={onClose}>
          {words.close}
        </button>
      </p>
    </Dialog>
  );
}
