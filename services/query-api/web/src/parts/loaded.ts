import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { messageOf } from "./fault";

export interface Loaded<T> {
  value: Signal<T | null>; // what came last; null before that
  failure: Signal<string | null>; // why the last did not come
  again: () => void;
}

// useLoaded loads something for as long as it is shown, anew when one of depends changes. What has come stays when the next
// does not.
export function useLoaded<T>(load: (signal?: AbortSignal) => Promise<T>, depends: readonly unknown[]): Loaded<T> {
  const value = useSignal<T | null>(null);
  const failure = useSignal<string | null>(null);
  const read = async (signal?: AbortSignal) => {
    try {
      value.value = await load(signal);
      failure.value = null;
    } catch (err) {
      if (!signal?.aborted) failure.value = messageOf(err);
    }
  };
  useEffect(() => {
    const loading = new AbortController();
    void read(loading.signal);
    return () => loading.abort();
  }, depends);
  return { value, failure, again: () => void read() };
}
