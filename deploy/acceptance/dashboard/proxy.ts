// What is between a page and its Telltale, or the replicas of one in turn, and breaks.
import { once } from "node:events";
import { type Socket, connect, createServer } from "node:net";

export class Proxy {
  private readonly sockets = new Set<Socket>();
  private connections = 0;
  private readonly server = createServer((from) => {
    const to = connect(this.ports[this.connections++ % this.ports.length]!, "127.0.0.1");
    for (const [socket, other] of [[from, to], [to, from]] as const) {
      this.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    from.pipe(to);
    to.pipe(from);
  });

  private constructor(private readonly ports: number[]) {}

  static async before(...urls: string[]): Promise<Proxy> {
    const proxy = new Proxy(urls.map((url) => Number(new URL(url).port)));
    await once(proxy.server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  // cut breaks all connections that there are, in the middle of whatever is on them.
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.server.close();
    this.cut();
  }
}
