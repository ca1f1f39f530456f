import { integer } from "../format";
import { text } from "../text";
import { usePolled } from "./polled";

const every = 60_000; // ms

// Warning says how many would be refused if credentials were needed already.
export function Warning() {
  const { value } = usePolled<unknown[]>("/api/auth/would-deny/", every);
  const count = value.value?.length ?? 0;
  return count === 0 ? null : (
    <p class="warning">
      <a href="/access/refused">{count === 1 ? text.access.warningOne : text.access.warning(integer(count))}</a>
    </p>
  );
}
