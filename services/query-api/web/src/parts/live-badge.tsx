import { age } from "../format";
import type { Live } from "../live";
import { text } from "../text";
import { now } from "./clock";

// LiveBadge says whether what the page shows is how it is now. Screen readers hear when that changes, not each second.
export function LiveBadge({ live }: { live: Live }) {
  const { state, heard } = live.state.value;
  void now.value; // once a second
  const behind = state === "reconnecting" && heard !== null;
  return (
    <p class={`live-badge ${state}`}>
      <span role="status" class="hidden">
        {behind ? text.live.lost : text.live[state === "reconnecting" ? "connecting" : state]}
      </span>
      <span aria-hidden="true">{behind ? text.live.reconnecting(age(Date.now() - heard)) : text.live[state === "reconnecting" ? "connecting" : state]}</span>
    </p>
  );
}
