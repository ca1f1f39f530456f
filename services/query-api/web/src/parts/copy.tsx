import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { text } from "../text";

// Copyable is something to paste elsewhere, with a button that copies it.
export function Copyable({ label, children }: { label: string; children: string }) {
  const copied = useSignal(false);
  useEffect(() => {
    if (!copied.value) return;
    const timer = setTimeout(() => (copied.value = false), 2000);
    return () => clearTimeout(timer);
  }, [copied.value]);
  return (
    <div class="copyable">
      <pre>{children}</pre>
      <button type="button" aria-label={`${text.welcome.copy}: ${label}`} onClick={() => void copy(children).then((done) => (copied.value = done))}>
        {copied.value ? text.welcome.copied : text.welcome.copy}
      </button>
      <span role="status" class="hidden">
        {copied.value ? text.welcome.copied : ""}
      </span>
    </div>
  );
}

// copy copies a text. navigator.clipboard is not there where the page came over HTTP from another machine.
async function copy(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = value;
    area.className = "hidden";
    document.body.append(area);
    const focused = document.activeElement as HTMLElement | null;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}
