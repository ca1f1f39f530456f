import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, address, api } from "../api";
import { fromHex, toBase64 } from "../bytes";
import { Explained } from "../parts/explanation";
import { messageOf } from "../parts/fault";
import { Alert, Select, TextArea, TextField, useSubmit } from "../parts/form";
import { Page } from "../parts/page";
import { place, setQuery } from "../router";
import { text } from "../text";
import type { DeadLetter, Explanation } from "../types";

const longest = 8000; // characters of an address that servers and people's programs take

// Mappings shows what a message becomes. What was tested stands in the address, unless it is too long for that.
export default function Mappings() {
  const words = text.mappings;
  const { query } = place.peek();
  const topic = useSignal(query.get("topic") ?? "");
  const payload = useSignal(query.get("payload") ?? "");
  const encoding = useSignal(query.get("encoding") ?? "text");
  const rule = useSignal(query.get("rule") ?? "");
  const explanation = useSignal<Explanation | null>(null);
  const missing = useSignal<string | null>(null); // why the dead letter in the address is not there

  const { form, submit, busy, errors, failure } = useSubmit(["topic", "payload", "payload_base64", "rule"], async () => {
    explanation.value = null;
    const asked = { topic: topic.value, payload: payload.value, encoding: encoding.value === "text" ? null : encoding.value, rule: rule.value };
    const fits = address("", asked).length <= longest;
    setQuery(fits ? { ...asked, dead_letter: null } : { topic: null, payload: null, encoding: null, rule: null, dead_letter: null });
    explanation.value = await api.post<Explanation>("/api/mappings/test/", {
      topic: topic.value,
      ...bytesOf(payload.value, encoding.value),
      ...(rule.value.trim() && { rule: rule.value }),
    });
  });
  useEffect(() => {
    const id = query.get("dead_letter");
    if (id === null) {
      if (topic.value) void submit();
      return;
    }
    const loading = new AbortController();
    api.get<DeadLetter>(`/api/dead-letters/${encodeURIComponent(id)}/`, {}, loading.signal).then(
      (letter) => {
        [topic.value, payload.value, encoding.value] = [letter.source, letter.payload, letter.encoding];
        void submit();
      },
      (err) => loading.signal.aborted || (missing.value = messageOf(err)),
    );
    return () => loading.abort();
  }, []);
  return (
    <Page title={words.title}>
      <p class="quiet">{words.about}</p>
      <form ref={form} class="card" noValidate onSubmit={submit}>
        <Alert message={missing.value ?? failure.value} />
        <div class="fields">
          <TextField label={words.topic} value={topic} errors={errors.value["topic"]} mono />
          <Select label={words.encoding} value={encoding} options={Object.entries(words.encodings)} />
        </div>
        <div class="fields">
          <TextArea label={words.payload} value={payload} errors={errors.value["payload"] ?? errors.value["payload_base64"]} rows={10} />
          <TextArea label={words.rule} hint={words.ruleHint} value={rule} errors={errors.value["rule"]} rows={10} />
        </div>
        <button class="primary" disabled={busy}>
          {words.test}
        </button>
      </form>
      <div role="status">{explanation.value && <Explained explanation={explanation.value} />}</div>
    </Page>
  );
}

// bytesOf is a payload as the API takes it.
function bytesOf(payload: string, encoding: string): { payload: string } | { payload_base64: string } {
  if (encoding === "text") return { payload };
  if (encoding === "base64") return { payload_base64: payload.replace(/\s+/g, "") };
  const bytes = fromHex(payload);
  if (!bytes) throw new ApiError(400, text.mappings.notHex, { payload: [text.mappings.notHex] });
  return { payload_base64: toBase64(bytes) };
}
