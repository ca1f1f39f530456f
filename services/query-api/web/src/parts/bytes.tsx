import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { fromBase64, fromText, hexDump, pretty, toText, visible } from "../bytes";
import { bytes as size } from "../format";
import { text } from "../text";

const shownAtFirst = 32 << 10; // of bytes, and of characters

// Bytes shows a payload of the API: JSON in lines, other text as it is, anything else in hexadecimal.
export function Bytes({ payload, encoding }: { payload: string; encoding: "text" | "base64" }) {
  const asHex = useSignal(encoding === "base64");
  const whole = useSignal(false);
  const [bytes, content] = useMemo(() => {
    const bytes = encoding === "base64" ? fromBase64(payload) : fromText(payload);
    return [bytes, encoding === "base64" ? toText(bytes) : payload];
  }, [payload, encoding]);
  const cut = !whole.value && bytes.length > shownAtFirst;
  const json = useMemo(() => (content === null || cut ? null : pretty(content)), [content, cut]);
  const shown = asHex.value || content === null ? hexDump(cut ? bytes.subarray(0, shownAtFirst) : bytes) : visible(cut ? content.slice(0, shownAtFirst) : (json ?? content));
  const words = text.bytes;
  return (
    <figure class="bytes">
      <figcaption class="row">
        <span>
          {size(bytes.length)}, {content === null ? words.binary : json !== null ? words.json : words.text}
        </span>
        {content !== null && (
          <label class="check">
            <input type="checkbox" checked={asHex} onChange={(event) => (asHex.value = event.currentTarget.checked)} /> {words.hex}
          </label>
        )}
      </figcaption>
      <pre tabIndex={0} role="region" aria-label={words.region} dir="ltr">
        {shown || words.empty}
      </pre>
      {cut && (
        <button type="button" onClick={() => (whole.value = true)}>
          {words.whole}
        </button>
      )}
    </figure>
  );
}
