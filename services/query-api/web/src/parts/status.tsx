import { text } from "../text";
import type { Status } from "../types";

// StatusBadge says whether a device reports, by a word and a shape, not by its colour alone.
export const StatusBadge = ({ status }: { status: Status }) => <span class={`status ${status}`}>{text.status[status]}</span>;
