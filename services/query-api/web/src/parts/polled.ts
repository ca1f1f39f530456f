import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { api, serverNow } from "../api";
import { messageOf } from "./fault";

export interface Polled<T> {
  value: ReadonlySignal<T | null>; // what came last; null before that
  failure: ReadonlySignal<{ message: string; since: number } | null>; // since when nothing has come, by the server's clock
  again: () => void; // asks at once
}

// usePolled asks the API for what is at path, and again every so many ms while somebody looks at the page. What has come
// stays when the next does not.
export function usePolled<T>(path: string, every: number): Polled<T> {
  const value = useSignal<T | null>(null);
  const failure = useSignal<{ message: string; since: number } | null>(null);
  const again = useRef(() => {});
  useEffect(() => {
    let timer = 0;
    let heard = serverNow(); // when something came last
    let asking: AbortController | null = null;
    const stop = () => {
      clearTimeout(timer);
      asking?.abort();
      asking = null;
    };
    const ask = async () => {
      stop();
      if (document.hidden) return;
      const { signal } = (asking = new AbortController());
      try {
        const found = await api.get<T>(path, {}, signal);
        value.value = found;
        heard = serverNow();
        failure.value = null;
      } catch (err) {
        if (signal.aborted) return;
        failure.value = { message: messageOf(err), since: heard };
      }
      if (!signal.aborted) timer = window.setTimeout(ask, every);
    };
    again.current = ask;
    document.addEventListener("visibilitychange", ask);
    void ask();
    return () => {
      document.removeEventListener("visibilitychange", ask);
      stop();
    };
  }, [path, every]);
  return { value, failure, again: () => again.current() };
}
