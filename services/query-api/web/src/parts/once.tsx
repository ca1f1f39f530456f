import type { ComponentChildren } from "preact";
import { text } from "../text";
import { Copyable } from "./copy";
import { Dialog } from "./dialog";

interface OnceProps {
  title: string;
  secrets: [label: string, value: string][];
  onClose: () => void; // whoever has shown it forgets it then
  children: ComponentChildren; // how it is used
}

// Once shows what nobody can look up again. It is nowhere but here, and gone when this closes.
export function Once({ title, secrets, onClose, children }: OnceProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p class="warn">{text.access.once}</p>
      {secrets.map(([label, value]) => (
        <div key={label}>
          {label}
          <Copyable label={label}>{value}</Copyable>
        </div>
      ))}
      {children}
      <p>
        <button type="button" class="primary" onClick={onClose}>
          {text.access.close}
        </button>
      </p>
    </Dialog>
  );
}
