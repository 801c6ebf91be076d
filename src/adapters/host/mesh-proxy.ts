/**
 * The links between gateways of one host, made to be cut: every gateway's mesh address in the site's YAML is a proxy's, behind which
 * it listens itself. A cut link says nothing and loses nothing: its bytes arrive when it is mended, late, as TCP would have it.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Result } from "../../lib/errors.ts";
import { listen } from "../device-broker/listen.ts";

interface MeshProxyOptions {
  /** The gateway behind it. */
  readonly to: string;
  readonly host: string;
  readonly port: number;
  readonly behind: { readonly host: string; readonly port: number };
  /** Asked when a connection says whose it is. */
  readonly isCut: (from: string) => boolean;
}

interface Connection {
  readonly near: Socket;
  readonly far: Socket;
  /** The gateway that connects, once its first bytes have named it. */
  from: string | undefined;
  flowing: boolean;
}

/** PSK identity and client id both are `fogbank/<site>/<gateway>/…`, and both travel in the clear. */
const naming = /fogbank\/[^/]+\/([a-z0-9-]+)\//;
const namingBytesMax = 8_192;

class MeshProxy {
  readonly #options: MeshProxyOptions;
  readonly #connections = new Set<Connection>();
  readonly #server: Server;

  constructor(options: MeshProxyOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (near) => this.#accept(near));
  }

  /** Fails with `port-in-use` or `configuration-invalid`. */
  open(): Promise<Result<void>> {
    return listen(this.#server, this.#options, `the mesh of ${this.#options.to}`);
  }

  /** To be called when the answer of `isCut` changes. */
  update(): void {
    for (const connection of this.#connections) this.#apply(connection);
  }

  close(): Promise<void> {
    for (const connection of this.#connections) this.#end(connection);
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(near: Socket): void {
    const far = connect({ ...this.#options.behind, noDelay: true });
    const connection: Connection = { near, far, from: undefined, flowing: true };
    this.#connections.add(connection);
    for (const socket of [near, far]) {
      socket.on("error", () => this.#end(connection));
      socket.on("close", () => this.#end(connection));
    }
    let start = "";
    const listen = (chunk: Buffer): void => {
      start += chunk.toString("latin1");
      connection.from = naming.exec(start)?.[1];
      if (connection.from === undefined && start.length < namingBytesMax) return;
      near.off("data", listen);
      this.#apply(connection);
    };
    near.on("data", listen);
    near.pipe(far);
    far.pipe(near);
  }

  #apply(connection: Connection): void {
    const { from, near, far } = connection;
    if (from === undefined) return;
    const flowing = !this.#options.isCut(from);
    if (flowing === connection.flowing) return;
    connection.flowing = flowing;
    if (flowing) {
      near.pipe(far);
      far.pipe(near);
    } else {
      near.unpipe(far);
      far.unpipe(near);
      near.pause();
      far.pause();
    }
  }

  #end(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    connection.near.destroy();
    connection.far.destroy();
  }
}

/** The proxies of a whole site, and which links are cut. A link has a direction: who connects, and to whom. */
export class MeshLinks {
  readonly #cut = new Set<string>();
  readonly #proxies: MeshProxy[] = [];

  /** Fails like a listener. */
  async add(options: Omit<MeshProxyOptions, "isCut">): Promise<Result<void>> {
    const proxy = new MeshProxy({ ...options, isCut: (from) => this.#cut.has(`${from} ${options.to}`) });
    const opened = await proxy.open();
    if (opened.ok) this.#proxies.push(proxy);
    return opened;
  }

  cut(links: readonly (readonly [from: string, to: string])[]): void {
    for (const [from, to] of links) this.#cut.add(`${from} ${to}`);
    this.#update();
  }

  mend(): void {
    this.#cut.clear();
    this.#update();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  #update(): void {
    for (const proxy of this.#proxies) proxy.update();
  }
}
