import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Timing {
  soon: number; // ms after news: as long as it takes until what is live is stored, and a little
  idle: number; // ms after the last time
}

// Refresh asks for something again: soon after it was told that there is news, and every now and then without, while
// somebody looks at the page. It never asks twice at once.
export class Refresh {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due = Infinity;
  private running: AbortController | null = null;
  private closed = false;

  constructor(private readonly ask: (signal: AbortSignal) => Promise<void>, private readonly timing: Timing) {}

  private readonly seen = (): void => void this.run();

  // news says that there is something else to see than at the last time.
  news(): void {
    this.wait(this.timing.soon);
  }

  now(): Promise<void> {
    this.running?.abort();
    this.running = null;
    return this.run();
  }

  close(): void {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.seen);
    clearTimeout(this.timer);
    this.running?.abort();
  }

  private wait(ms: number): void {
    const due = Date.now() + ms;
    if (this.closed || due >= this.due) return;
    this.due = due;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.run(), ms);
  }

  private async run(): Promise<void> {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.due = Infinity;
    if (document.hidden) return document.addEventListener("visibilitychange", this.seen, { once: true });
    if (this.running) return this.wait(this.timing.soon);
    const running = (this.running = new AbortController());
    try {
      await this.ask(running.signal);
    } finally {
      if (this.running === running) {
        this.running = null;
        this.wait(this.timing.idle);
      }
    }
  }
}

// useRefresh asks at once whenever one of those that it depends on is another, and then as Refresh does.
export function useRefresh(news: ReadonlySignal<unknown>, timing: Timing, depends: readonly unknown[], ask: (signal: AbortSignal) => Promise<void>): () => void {
  const asks = useRef(ask);
  asks.current = ask;
  const refresh = useRef<Refresh | null>(null);
  useEffect(() => {
    const made = (refresh.current = new Refresh((signal) => asks.current(signal), timing));
    void made.now();
    const before = news.peek();
    const forget = news.subscribe((value) => value !== before && made.news());
    return () => {
      forget();
      made.close();
    };
  }, depends);
  return () => void refresh.current?.now();
}
