import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { text } from "../text";
import { messageOf } from "./fault";
import { Alert } from "./form";

// Dialog is in front of the page until onClose. Whoever uses a keyboard is then where he was, or at the page's heading
// where that is gone.
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const opener = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => setTimeout(() => (opener?.isConnected ? opener : document.querySelector("h1"))?.focus());
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <h2 id={id}>
        <bdi>{title}</bdi>
      </h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  action: string; // the name of the button that does it
  ready?: boolean; // what it does is known
  closes?: boolean; // when it is done
  confirm: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren; // what it does
}

// Confirm asks before something is done that cannot be undone, and closes then.
export function Confirm({ title, action, ready = true, closes = true, confirm, onClose, children }: ConfirmProps) {
  const busy = useSignal(false);
  const failure = useSignal<string | null>(null);
  const run = async () => {
    busy.value = true;
    try {
      await confirm();
      if (closes) onClose();
    } catch (err) {
      failure.value = messageOf(err);
      busy.value = false;
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <Alert message={failure.value} />
      <div class="row">
        <button type="button" autoFocus onClick={onClose}>
          {text.cancel}
        </button>
        <button type="button" class="danger" disabled={!ready || busy} onClick={() => void run()}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
