import { ApiError } from "../api";
import { text } from "../text";

// messageOf says what went wrong: in the words of the API or, where it is this page that is at fault, that it is.
export function messageOf(err: unknown): string {
  if (err instanceof ApiError) return err.message;
  console.error(err);
  return text.errors.ownFault(err instanceof Error ? err.message : String(err));
}
