import { signal } from "@preact/signals";
import { serverNow } from "../api";

// now is the time by the server's clock, in ms. It ticks once a second while somebody looks at the page, for the ages
// that are shown.
export const now = signal(serverNow());

setInterval(() => {
  if (!document.hidden) now.value = serverNow();
}, 1000);
document.addEventListener("visibilitychange", () => (now.value = serverNow()));
