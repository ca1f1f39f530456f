// An all-in-one of a test: a process with data and ports of its own, which can be stopped and started again.
import mqtt from "mqtt";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binaries = join(import.meta.dirname, "../../../bin");
const readyTime = 60_000;

export interface Options {
  families?: string[]; // that are simulated, with two devices each
  settings?: Record<string, string>;
  token?: string; // of an admin, who makes what the test needs: where credentials are asked for
}

export class Telltale {
  private readonly processes = new Set<ChildProcess>();
  private main: ChildProcess | undefined;
  private mqttClient: mqtt.MqttClient | undefined;

  private constructor(
    private readonly dir: string,
    private readonly options: Options,
    private readonly ports: { http: number; mqtt: number; ops: number },
  ) {}

  static async start(options: Options = {}): Promise<Telltale> {
    const [http, mqttPort, ops] = await freePorts(3);
    const t = new Telltale(await mkdtemp(join(tmpdir(), "telltale-dashboard-")), options, { http: http!, mqtt: mqttPort!, ops: ops! });
    process.once("exit", t.killAll);
    await t.run();
    const { families } = options;
    if (families?.length) {
      t.spawn("simulator", ["--mqtt-url", t.mqttURL, "--devices", String(2 * families.length), "--first-device", "100", "--family", families.join(",")], {});
      await until(async () => (await t.api<unknown[]>("GET", "/api/devices/")).length >= 2 * families.length);
    }
    return t;
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  get mqttURL(): string {
    return `tcp://127.0.0.1:${this.ports.mqtt}`;
  }

  get mqttPort(): number {
    return this.ports.mqtt;
  }

  private readonly killAll = () => this.processes.forEach((p) => p.kill("SIGKILL"));

  private spawn(name: string, args: string[], settings: Record<string, string>): ChildProcess {
    const child = spawn(join(binaries, name), args, { cwd: this.dir, env: { PATH: process.env["PATH"], ...settings }, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.pipe(createWriteStream(join(this.dir, `${name}.log`), { flags: "a" }));
    this.processes.add(child);
    child.once("exit", () => this.processes.delete(child));
    return child;
  }

  // run starts all-in-one, and returns when it is ready.
  async run(): Promise<void> {
    const { http, mqtt, ops } = this.ports;
    const address = (port: number) => `127.0.0.1:${port}`;
    const main = (this.main = this.spawn("all-in-one", [], {
      DATA_DIR: join(this.dir, "data"), HTTP_ADDR: address(http), MQTT_LISTEN_ADDR: address(mqtt), OPS_ADDR: address(ops),
      KAFKA_LISTEN_ADDR: "127.0.0.1:0", ...(this.options.token && { AUTH: "on", ADMIN_TOKEN: this.options.token }), ...this.options.settings,
    }));
    const ended = new Promise<boolean>((resolve, reject) => {
      main.once("error", reject);
      main.once("exit", () => resolve(true));
    });
    for (const deadline = Date.now() + readyTime; ; ) {
      const ready = await fetch(`http://${address(ops)}/readyz`).then((r) => r.ok, () => false);
      if (ready) return;
      const over = await Promise.race([ended, new Promise<boolean>((resolve) => setTimeout(resolve, 50, false))]);
      if (over || Date.now() > deadline) throw new Error(`all-in-one is not ready:\n${await this.log()}`);
    }
  }

  log(): Promise<string> {
    return readFile(join(this.dir, "all-in-one.log"), "utf8");
  }

  // end ends all-in-one; run starts it again, on the same data and ports.
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (!this.main || this.main.exitCode !== null || this.main.signalCode !== null) return;
    const exit = once(this.main, "exit");
    this.main.kill(signal);
    await exit;
  }

  async restart(signal?: "SIGTERM" | "SIGKILL"): Promise<void> {
    await this.end(signal);
    await this.run();
  }

  // close ends everything, and removes the data.
  async close(): Promise<void> {
    process.off("exit", this.killAll);
    await this.mqttClient?.endAsync(true);
    await this.end("SIGKILL");
    this.killAll();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  // ask asks the API, and returns its answer as it is.
  ask(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: { "Content-Type": "application/json", ...(this.options.token && { Authorization: `Bearer ${this.options.token}` }) },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  // api asks the API, and returns what it answers. An error of the API is one of the test.
  async api<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.ask(method, path, body);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? (undefined as T) : (JSON.parse(text) as T);
  }

  // send sends readings over HTTP, and returns when they can be read.
  async send(...readings: { device_id: number | string; [member: string]: unknown }[]): Promise<void> {
    await this.api("POST", "/api/readings/", readings);
    const { device_id } = readings.at(-1)!;
    await until(async () => (await this.ask("GET", `/api/devices/${encodeURIComponent(device_id)}/`)).ok && (await this.ask("GET", `/api/latest/${encodeURIComponent(device_id)}/`)).ok);
  }

  // publish publishes a message over MQTT, and returns when Telltale has acknowledged it.
  async publish(topic: string, payload: unknown): Promise<void> {
    this.mqttClient ??= await mqtt.connectAsync(this.mqttURL.replace("tcp:", "mqtt:"), { reconnectPeriod: 200 });
    await this.mqttClient.publishAsync(topic, typeof payload === "string" || payload instanceof Buffer ? payload : JSON.stringify(payload), { qos: 1 });
  }

  // whileSending has a device send, again and again, until something is done. What that does to a page lasts as long,
  // whereas what one reading does may be over before anybody looks.
  async whileSending(topic: string, payload: unknown, something: () => Promise<void>): Promise<void> {
    let done = false;
    const sending = (async () => {
      for (; !done; await new Promise((resolve) => setTimeout(resolve, 200))) await this.publish(topic, payload);
    })();
    try {
      await something();
    } finally {
      done = true;
      await sending;
    }
  }

  // createDevices creates devices by the API, some at a time, and returns them. name may say what each is called.
  async createDevices(count: number, device: (n: number) => Record<string, unknown> = (n) => ({ name: `Sensor ${n}` })): Promise<any[]> {
    const user = await this.api("POST", "/api/users/", { username: `owner-${Date.now()}`, email: "owner@example.com" });
    const made: any[] = [];
    const numbers = Array.from({ length: count }, (_, n) => n + 1).values();
    const worker = async () => {
      for (const n of numbers) made[n - 1] = await this.api("POST", "/api/devices/", { user: user.id, ...device(n) });
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    return made;
  }
}

// until waits until something is so. It is for what no event tells of.
export async function until(so: () => Promise<boolean>, deadline = 30_000): Promise<void> {
  for (const end = Date.now() + deadline; !(await so()); ) {
    if (Date.now() > end) throw new Error(`after ${deadline} ms it is not so: ${so}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
