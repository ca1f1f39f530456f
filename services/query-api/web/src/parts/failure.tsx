import { text } from "../text";

// Failure says what did not work, with a button that tries it again.
export function Failure({ message, again, label = text.retry }: { message: string; again?: () => void; label?: string }) {
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{text.errors.title}.</strong> {message}
      </p>
      {again && (
        <button type="button" onClick={again}>
          {label}
        </button>
      )}
    </div>
  );
}
