import { type ReadonlySignal, type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { page } from "../api";
import { messageOf } from "./fault";

export interface List<T> {
  items: Signal<T[] | null>; // null before the first page has come
  next: ReadonlySignal<string | null>; // the address of the page behind items
  busy: ReadonlySignal<boolean>;
  failure: ReadonlySignal<string | null>;
  more: () => void; // reads the next page
  again: () => void; // reads what failed once more, or the first page
}

// useList reads a list of the API page by page, from its beginning when from changes. What stands there meanwhile is what
// was there before, but not where that fails.
export function useList<T extends { id: string | number }>(from: string): List<T> {
  const items = useSignal<T[] | null>(null);
  const next = useSignal<string | null>(null);
  const busy = useSignal(false);
  const failure = useSignal<string | null>(null);
  const current = useRef<AbortController | null>(null);
  const failed = useRef<(() => void) | null>(null);
  const wanted = useRef(from);
  wanted.current = from;
  const shown = useRef<string | null>(null); // where items begin

  const read = async (address: string, onwards: boolean) => {
    current.current?.abort();
    const loading = (current.current = new AbortController());
    busy.value = true;
    try {
      const found = await page<T>(address, {}, loading.signal);
      const before = onwards ? (items.value ?? []) : [];
      const known = new Set(before.map(({ id }) => id)); // one that was just made is there already
      items.value = [...before, ...found.items.filter(({ id }) => !known.has(id))];
      next.value = found.next;
      if (!onwards) shown.current = address;
      failure.value = null;
      failed.current = null;
    } catch (err) {
      if (loading.signal.aborted) return;
      failure.value = messageOf(err);
      if (shown.current !== wanted.current) items.value = next.value = null;
      failed.current = () => void read(address, onwards);
    } finally {
      if (current.current === loading) busy.value = false;
    }
  };
  const first = () => void read(wanted.current, false);
  useEffect(() => {
    first();
    return () => current.current?.abort();
  }, [from]);
  return {
    items, next, busy, failure,
    more: () => next.value !== null && void read(next.value, true),
    again: () => (failed.current ?? first)(),
  };
}
