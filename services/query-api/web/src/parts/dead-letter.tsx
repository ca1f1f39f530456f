import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { may } from "../access";
import { ApiError, address, api } from "../api";
import { fromBase64, fromHex, fromText, toBase64, toHex, toText, visible } from "../bytes";
import { text } from "../text";
import type { DeadLetter, Explanation, Replay } from "../types";
import { Moment } from "./age";
import { Bytes } from "./bytes";
import { Confirm } from "./dialog";
import { Explained } from "./explanation";
import { Failure } from "./failure";
import { Alert, Field, TextArea, useSubmit } from "./form";
import { useLoaded } from "./loaded";

const editable = 256 << 10; // characters: a text field of more is slow, and the API takes no more than 1 MiB

// OneDeadLetter shows one, with its bytes to look at, correct, test and replay.
export function OneDeadLetter({ id, back, gone }: { id: string; back: string; gone: (said: string) => void }) {
  const { value: one, failure, again } = useLoaded((signal) => api.get<DeadLetter>(`/api/dead-letters/${encodeURIComponent(id)}/`, {}, signal), [id]);
  return (
    <>
      <p>
        <a href={back}>{text.deadLetters.back}</a>
      </p>
      {failure.value !== null && <Failure message={failure.value} again={again} />}
      {one.value ? <Shown key={one.value.id} letter={one.value} read={again} gone={gone} /> : failure.value === null && <p class="quiet">{text.loading}</p>}
    </>
  );
}

function Shown({ letter, read, gone }: { letter: DeadLetter; read: () => void; gone: (said: string) => void }) {
  const words = text.deadLetters;
  const deleting = useSignal(false);
  const facts: [string, ComponentChildren][] = [
    [words.reason, <code>{letter.reason}</code>],
    [words.detail, <bdi>{visible(letter.detail) || text.unknown}</bdi>],
    [words.topic, <bdi class="mono">{visible(letter.source)}</bdi>],
    [words.device, <bdi>{letter.device_key ?? letter.device_id ?? text.unknown}</bdi>],
    [words.client, <bdi>{visible(letter.client_id ?? text.unknown)}</bdi>],
    ...(letter.principal ? ([[words.principal, <bdi>{visible(letter.principal)}</bdi>]] as [string, ComponentChildren][]) : []),
    [words.received, <Moment at={letter.received_at} />],
    ...(letter.retained ? ([[words.retained, words.yes]] as [string, string][]) : []),
    ...(letter.content_type ? ([[words.contentType, letter.content_type]] as [string, string][]) : []),
    [words.replayed, letter.replayed_at ? <><Moment at={letter.replayed_at} />, {words.readings(letter.replayed_readings)}</> : words.never],
  ];
  return (
    <>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Bytes payload={letter.payload} encoding={letter.encoding} />
      {may("change") && <Editor letter={letter} read={read} />}
      <p class="row">
        <a class="button" href={address("/mappings", { dead_letter: letter.id })}>
          {words.inMappings}
        </a>
        {may("change") && (
          <button type="button" class="danger" onClick={() => (deleting.value = true)}>
            {text.delete}
          </button>
        )}
      </p>
      {deleting.value && (
        <Confirm
          title={words.deleteOne}
          action={text.delete}
          onClose={() => (deleting.value = false)}
          confirm={async () => {
            await api.delete(`/api/dead-letters/${letter.id}/`);
            gone(words.deletedOne);
          }}
        >
          <p>{words.gone}</p>
        </Confirm>
      )}
    </>
  );
}

// Editor replays the bytes as they are, or as somebody has corrected them.
function Editor({ letter, read }: { letter: DeadLetter; read: () => void }) {
  const words = text.deadLetters;
  const form = letter.encoding === "base64" ? "hex" : "text";
  const tooLong = letter.payload.length > editable;
  const original = useMemo(() => (tooLong ? "" : form === "hex" ? toHex(fromBase64(letter.payload)) : letter.payload), [letter]);
  const as = useSignal<string>(form);
  const draft = useSignal(original);
  const edited = as.value !== form || draft.value !== original;
  const explanation = useSignal<Explanation | null>(null);
  const replay = useSignal<Replay | null>(null);

  // given is what is in the field, as the API takes it.
  const given = (): { payload: string } | { payload_base64: string } => {
    if (as.value === "text") return { payload: draft.value };
    const bytes = fromHex(draft.value);
    if (!bytes) throw wrong(words.notHex);
    return { payload_base64: toBase64(bytes) };
  };
  const test = useSubmit(fields, async () => {
    explanation.value = replay.value = null;
    explanation.value = await api.post<Explanation>("/api/mappings/test/", { topic: letter.source, ...given() });
  });
  const send = useSubmit(fields, async () => {
    explanation.value = replay.value = null;
    replay.value = await api.post<Replay>(`/api/dead-letters/${letter.id}/replay/`, edited ? given() : {});
    read();
  });
  const errors = [test, send].flatMap(({ errors }) => Object.values(errors.value).flat());
  const changeTo = (to: string) => {
    const bytes = as.value === "text" ? fromText(draft.value) : fromHex(draft.value);
    const shown = bytes && (to === "text" ? toText(bytes) : toHex(bytes));
    if (typeof shown === "string") [as.value, draft.value, test.errors.value] = [to, shown, {}];
    else test.errors.value = wrong(bytes ? words.notText : words.notHex).fields;
  };
  const busy = test.busy.value || send.busy.value;
  return (
    <form class="card" aria-label={words.edit} onSubmit={send.submit}>
      <h2>{words.edit}</h2>
      {tooLong ? (
        <p>{words.tooLong}</p>
      ) : (
        <>
          <Field
            label={words.editAs}
            input={(described) => (
              <select
                {...described}
                value={as}
                onChange={(event) => {
                  changeTo(event.currentTarget.value);
                  event.currentTarget.value = as.value;
                }}
              >
                <option value="text">{words.asText}</option>
                <option value="hex">{words.asHex}</option>
              </select>
            )}
          />
          <TextArea label={words.payload} value={draft} errors={errors} rows={8} />
        </>
      )}
      <Alert message={test.failure.value ?? send.failure.value} />
      <div class="row">
        <button type="button" disabled={busy} onClick={() => void test.submit()}>
          {words.test}
        </button>
        <button class="primary" disabled={busy}>
          {edited ? words.replayEdited : words.replay}
        </button>
        {edited && (
          <button type="button" onClick={() => ([as.value, draft.value] = [form, original])}>
            {words.reset}
          </button>
        )}
      </div>
      <div role="status">
        {explanation.value && <Explained explanation={explanation.value} />}
        {replay.value && <Replayed replay={replay.value} />}
      </div>
    </form>
  );
}

const fields = ["payload", "payload_base64"];
const wrong = (why: string) => new ApiError(400, why, { payload: [why] });

function Replayed({ replay: { outcome, readings, reason, detail } }: { replay: Replay }) {
  const words = text.deadLetters;
  return outcome === "replayed" ? (
    <p class="good">{words.onTheirWay(readings)}</p>
  ) : outcome === "rejected" ? (
    <p class="bad">
      {words.rejectedAgain} <code>{reason}</code> <bdi>{visible(detail ?? "")}</bdi>
    </p>
  ) : (
    <p class="warn">{words.uncertain}</p>
  );
}
