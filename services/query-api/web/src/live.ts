// The live stream of a page: /api/live/, read with fetch, since an EventSource does not say when it lost its
// connection, or how far behind it is.
//
// Events reach the page in order and only after sync, which asks the API for everything; so an event that came while the
// API was asked is not lost, and what the page shows in the end is what the API says. Nothing is kept meanwhile: the
// stream is read no further. After a cut it goes on behind the last event, by its id.
import { type ReadonlySignal, signal } from "@preact/signals";
import { type Query, address, send } from "./api";
import { Parser } from "./sse";
import type { DeadLetterEvent, DeviceEvent, Reading } from "./types";

const silence = 30_000; // ms; a stream that lives says something every 15 s
const longestSync = 120_000;
const firstWait = 500; // ms before it connects again; each further time twice as long
const longestWait = 15_000;

export interface Handlers {
  // sync asks the API anew: at the start, and when the log does not reach back to where the stream was. The stream goes
  // on when it has resolved. Where it rejects, it is called again after a while. It must heed signal.
  sync: (signal: AbortSignal) => Promise<void>;
  reading?: (reading: Reading) => void;
  device?: (device: DeviceEvent) => void;
  dead_letter?: (deadLetter: DeadLetterEvent) => void;
}

export interface LiveState {
  state: "connecting" | "live" | "reconnecting" | "paused";
  // heard is when it last heard of Telltale, by this machine's clock: unless it is live, what has happened since then is
  // not shown. It is null before it has heard anything.
  heard: number | null;
}

// Environment is what a stream needs of the browser.
export interface Environment {
  fetch: (address: string, init: RequestInit) => Promise<Response>;
  random: () => number;
  hidden: () => boolean;
  onVisibility: (changed: () => void) => () => void;
}

const browser: Environment = {
  fetch: send,
  random: Math.random,
  hidden: () => document.hidden,
  onVisibility: (changed) => {
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  },
};

export class Live {
  private readonly current = signal<LiveState>({ state: "connecting", heard: null });
  private readonly forget: () => void;
  private connection: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private place: string | null = null; // behind the last event that was handled
  private heard: number | null = null;
  private attempts = 0; // that have failed in a row

  constructor(private readonly query: Query, private readonly handlers: Handlers, private readonly env: Environment = browser) {
    this.forget = env.onVisibility(() => (env.hidden() ? this.pause() : this.connect()));
    if (env.hidden()) this.show("paused");
    else this.connect();
  }

  get state(): ReadonlySignal<LiveState> {
    return this.current;
  }

  close(): void {
    this.forget();
    this.disconnect();
  }

  private show(state: LiveState["state"]): void {
    const shown = this.current.peek();
    if (shown.state !== state || (state !== "live" && shown.heard !== this.heard)) this.current.value = { state, heard: this.heard };
  }

  private pause(): void {
    this.disconnect();
    this.attempts = 0;
    this.show("paused");
  }

  private disconnect(): void {
    clearTimeout(this.timer);
    this.connection?.abort();
    this.connection = null;
  }

  private connect(): void {
    this.disconnect();
    this.show(this.heard === null ? "connecting" : "reconnecting");
    const connection = (this.connection = new AbortController());
    this.follow(connection.signal)
      .catch(() => this.showAtLeast(connection.signal))
      .catch(() => {}) // it goes on all the same
      .finally(() => {
        if (this.connection === connection) this.connectAgain();
      });
  }

  private connectAgain(): void {
    this.disconnect();
    this.show(this.heard === null ? "connecting" : "reconnecting");
    const wait = Math.min(longestWait, firstWait * 2 ** this.attempts++);
    this.timer = setTimeout(() => this.connect(), wait * (0.5 + this.env.random() / 2));
  }

  // follow reads one connection to its end. It never resolves before it has been live.
  private async follow(signal: AbortSignal): Promise<void> {
    this.giveUpAfter(silence, signal);
    const answer = await this.env.fetch(address("/api/live/", this.query), {
      headers: { Accept: "text/event-stream", ...(this.place !== null && { "Last-Event-ID": this.place }) },
      cache: "no-store",
      signal,
    });
    if (!answer.ok || answer.body === null) {
      if (answer.status === 400) this.place = null; // Telltale does not know it any more
      throw new Error(`status ${answer.status}`);
    }
    const reader = answer.body.getReader();
    const text = new TextDecoder();
    const parser = new Parser();
    let synced = this.place !== null; // what is before the next event is shown
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.giveUpAfter(silence, signal);
      for (const { event, data, id } of parser.push(text.decode(value, { stream: true }))) {
        if (!synced || event === "resync") {
          await this.sync(signal);
          synced = true;
        }
        if (data !== null) this.handle(event, data);
        if (id !== null) this.place = id;
      }
      if (!synced) continue;
      this.heard = Date.now();
      this.attempts = 0;
      this.show("live");
    }
  }

  private async sync(signal: AbortSignal): Promise<void> {
    this.giveUpAfter(longestSync, signal);
    await this.handlers.sync(signal);
    this.giveUpAfter(silence, signal);
  }

  // showAtLeast shows what the API says where the stream does not come to its beginning.
  private async showAtLeast(signal: AbortSignal): Promise<void> {
    if (this.place !== null || signal.aborted) return;
    await this.sync(signal);
    this.heard = Date.now();
  }

  private giveUpAfter(ms: number, signal: AbortSignal): void {
    signal.throwIfAborted(); // else it would begin again after its end
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connectAgain(), ms);
  }

  private handle(event: string, data: string): void {
    const { reading, device, dead_letter } = this.handlers;
    if (event === "reading") reading?.(JSON.parse(data));
    else if (event === "device") device?.(JSON.parse(data));
    else if (event === "dead_letter") dead_letter?.(JSON.parse(data));
  }
}
