import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { ApiError } from "../api";
import { text } from "../text";
import { messageOf } from "./fault";

// What an input has of the field around it.
interface Described {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

interface FieldProps {
  label: string;
  errors?: string[] | undefined; // in the API's own words
  hint?: string | undefined;
}

// Field is an input with its label, and what is wrong with it.
export function Field({ label, errors = [], hint, input }: FieldProps & { input: (described: Described) => ComponentChildren }) {
  const id = useId();
  const about = [hint && `${id}-hint`, errors.length > 0 && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {input({ id, "aria-invalid": errors.length > 0, "aria-describedby": about || undefined })}
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
      {errors.length > 0 && (
        <p id={`${id}-error`} class="field-error">
          {errors.join(" ")}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps extends FieldProps {
  value: Signal<string>;
  type?: "text" | "search" | "email" | "datetime-local" | "password";
  inputMode?: "decimal";
  mono?: boolean;
  autocomplete?: "username" | "current-password" | "new-password" | "off"; // for password managers
}

export function TextField({ label, errors, hint, value, type = "text", inputMode, mono = false, autocomplete = "off" }: TextFieldProps) {
  return (
    <Field
      {...{ label, errors, hint }}
      input={(described) => (
        <input
          {...described}
          {...(inputMode && { inputMode })}
          class={mono ? "mono" : ""}
          type={type as "text"} // Preact has a type of props for each, and none for several
          autocomplete={autocomplete}
          {...(autocomplete !== "off" && { name: autocomplete, autocapitalize: "none" })}
          spellcheck={false}
          value={value}
          onInput={(event) => (value.value = event.currentTarget.value)}
        />
      )}
    />
  );
}

export function Check({ label, value }: { label: string; value: Signal<boolean> }) {
  return (
    <label class="check">
      <input type="checkbox" checked={value} onChange={(event) => (value.value = event.currentTarget.checked)} /> {label}
    </label>
  );
}

export function TextArea({ label, errors, hint, value, rows = 6 }: FieldProps & { value: Signal<string>; rows?: number }) {
  return (
    <Field
      {...{ label, errors, hint }}
      input={(described) => (
        <textarea {...described} rows={rows} spellcheck={false} value={value} onInput={(event) => (value.value = event.currentTarget.value)} />
      )}
    />
  );
}

export function Select({ label, errors, hint, value, options }: FieldProps & { value: Signal<string>; options: [value: string, label: string][] }) {
  return (
    <Field
      {...{ label, errors, hint }}
      input={(described) => (
        <select {...described} value={value} onChange={(event) => (value.value = event.currentTarget.value)}>
          {options.map(([name, shown]) => (
            <option key={name} value={name}>
              {shown}
            </option>
          ))}
        </select>
      )}
    />
  );
}

// useSubmit sends a form. fields are those that show what is wrong with them; anything else that is wrong is failure.
export function useSubmit(fields: readonly string[], send: () => Promise<void>) {
  const busy = useSignal(false);
  const errors = useSignal<Record<string, string[]>>({});
  const failure = useSignal<string | null>(null);
  const form = useRef<HTMLFormElement>(null);
  const submit = async (event?: Event) => {
    event?.preventDefault();
    if (busy.value) return;
    busy.value = true;
    try {
      await send();
      errors.value = {};
      failure.value = null;
    } catch (err) {
      const all = err instanceof ApiError ? err.fields : {};
      errors.value = all;
      failure.value = fields.some((name) => name in all) && Object.keys(all).every((name) => fields.includes(name)) ? null : messageOf(err);
    } finally {
      busy.value = false;
    }
  };
  const reset = () => {
    errors.value = {};
    failure.value = null;
  };
  useEffect(() => form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus(), [errors.value]);
  return { form, submit, reset, busy, errors, failure };
}

// Alert is what is wrong with a form as a whole.
export function Alert({ message }: { message: string | null }) {
  return message === null ? null : (
    <p class="failure" role="alert">
      <strong>{text.errors.title}.</strong> <bdi>{message}</bdi>
    </p>
  );
}
