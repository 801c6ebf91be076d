// A site of real gateways: one site.yaml in a temporary folder, a process and a data folder for each gateway, ports that were free.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FogbankClient } from "../../../src/client/fogbank-client.ts";
import type { Result } from "../../../src/lib/errors.ts";
import { buildIfStale, type Exit, FogbankProcess, runFogbank } from "./fogbank.ts";
import { stablePorts } from "./ports.ts";
import { until } from "./until.ts";

export interface Ports {
  readonly mqtt: number;
  readonly mesh: number;
  readonly http: number;
}

export interface SiteOptions {
  readonly site?: string;
  readonly gateways?: number;
  /** Those of the gateways that only vote. */
  readonly witnesses?: readonly string[];
  /** Lines of the site.yaml besides gateways, devices, jobs and sinks. */
  readonly settings?: string;
  /** Path below the site's folder -> text; `devices/` and `jobs/` belong here. */
  readonly files: Readonly<Record<string, string>>;
}

const readyWithinMs = 30_000;
const stopWithinMs = 15_000;

/** The value of a call that is expected to succeed. */
export function must<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

/** The text of a site.yaml with these gateways, all on loopback. */
export function siteYaml(
  site: string,
  gateways: ReadonlyMap<string, Ports>,
  { witnesses = [], settings = "" }: Pick<SiteOptions, "witnesses" | "settings"> = {},
): string {
  const entries = [...gateways].map(([id, { mqtt, mesh, http }]) => {
    const role = witnesses.includes(id) ? "role: witness, " : "";
    return `  ${id}: { host: 127.0.0.1, ${role}listen: { mqtt: "127.0.0.1:${mqtt}", mesh: "127.0.0.1:${mesh}", http: "127.0.0.1:${http}" } }\n`;
  });
  return `site: ${site}\nsecret: \${file:./secret}\ngateways:\n${entries.join("")}devices: ./devices\njobs: ./jobs\nsinks:\n  archive: { type: file }\n${settings}`;
}

export class TestGateway {
  readonly id: string;
  readonly ports: Ports;
  readonly dataFolder: string;
  readonly client: FogbankClient;
  readonly #folder: string;
  #process: FogbankProcess | undefined;
  /** What earlier processes of this gateway printed. */
  #earlier = "";

  constructor(id: string, ports: Ports, folder: string) {
    this.id = id;
    this.ports = ports;
    this.#folder = folder;
    this.dataFolder = join(folder, "data", id);
    this.client = new FogbankClient({ fetch, baseUrl: this.url, token: undefined });
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.exit === undefined;
  }

  /** All that its processes printed so far. */
  get output(): string {
    return this.#earlier + (this.#process?.output ?? "");
  }

  get process(): FogbankProcess {
    if (this.#process === undefined) throw new Error(`${this.id} was not started`);
    return this.#process;
  }

  start(siteFile = join(this.#folder, "site.yaml")): FogbankProcess {
    if (this.isRunning) throw new Error(`${this.id} is running`);
    this.#earlier = this.output;
    this.#process = new FogbankProcess(["start", siteFile, "--gateway", this.id, "--data", this.dataFolder], { cwd: this.#folder });
    return this.#process;
  }

  async ready(withinMs = readyWithinMs): Promise<void> {
    await until(
      `${this.id} is ready`,
      async () => {
        if (!this.isRunning) throw new Error(`${this.id} ended (${JSON.stringify(this.process.exit)}):\n${this.process.tail()}`);
        const answer = await this.client.readiness();
        return answer.ok && answer.value.ready ? true : undefined;
      },
      { withinMs, explain: () => this.process.tail() },
    );
  }

  /** A figure of /metrics, all labels but the named ones added up; 0 when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    return text
      .split("\n")
      .filter((line) => /^[a-z0-9_]+/.exec(line)?.[0] === name && wanted.every((label) => line.includes(label)))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** What `fogbank status` prints. */
  async statusText(): Promise<string> {
    return (await runFogbank(["status", "--url", this.url], { cwd: this.#folder })).stdout;
  }

  /** SIGKILL, and the process is gone when this resolves. */
  async kill(): Promise<void> {
    this.process.signal("SIGKILL");
    await this.process.exited;
  }

  /** SIGTERM; fails the test when the gateway does not end by itself. */
  async stop(): Promise<Exit> {
    this.process.signal("SIGTERM");
    return await this.process.ended(stopWithinMs);
  }
}

export class TestSite {
  readonly folder: string;
  readonly gateways: readonly TestGateway[];

  private constructor(folder: string, gateways: readonly TestGateway[]) {
    this.folder = folder;
    this.gateways = gateways;
  }

  /** Writes the files; starts nothing. */
  static async create(options: SiteOptions): Promise<TestSite> {
    buildIfStale();
    const count = options.gateways ?? 3;
    const ports = await stablePorts(3 * count);
    const folder = mkdtempSync(join(tmpdir(), "fogbank-e2e-"));
    const portsById = new Map<string, Ports>();
    for (let index = 0; index < count; index++) {
      const [mqtt = 0, mesh = 0, http = 0] = ports.slice(3 * index);
      portsById.set(`gw-${String.fromCharCode(97 + index)}`, { mqtt, mesh, http });
    }
    const site = new TestSite(
      folder,
      [...portsById].map(([id, own]) => new TestGateway(id, own, folder)),
    );
    site.write("site.yaml", siteYaml(options.site ?? "e2e", portsById, options));
    site.write("secret", "a secret of the end-to-end tests\n");
    site.write("devices/inventory.yaml", "devices: {}\n");
    mkdirSync(join(folder, "jobs"), { recursive: true });
    for (const [path, text] of Object.entries(options.files)) site.write(path, text);
    return site;
  }

  /** Creates the site, starts it, and resolves when all gateways are ready. */
  static async start(options: SiteOptions): Promise<TestSite> {
    const site = await TestSite.create(options);
    try {
      for (const gateway of site.gateways) gateway.start();
      await Promise.all(site.gateways.map((gateway) => gateway.ready()));
      return site;
    } catch (error) {
      await site.end();
      throw error;
    }
  }

  write(path: string, text: string): string {
    const whole = join(this.folder, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, text);
    return whole;
  }

  gateway(id: string): TestGateway {
    const found = this.gateways.find((gateway) => gateway.id === id);
    if (found === undefined) throw new Error(`there is no gateway ${id}`);
    return found;
  }

  get portsById(): ReadonlyMap<string, Ports> {
    return new Map(this.gateways.map((gateway) => [gateway.id, gateway.ports]));
  }

  /** The gateway that leads now, once the gateways of `among` agree on it. */
  async leader(among: readonly TestGateway[] = this.gateways): Promise<TestGateway> {
    return await until(
      "the gateways agree on a leader",
      async () => {
        const answers = await Promise.all(among.map((gateway) => gateway.client.status()));
        const leaders = new Set(answers.map((answer) => (answer.ok ? answer.value.raft.leader : undefined)));
        const [leader] = leaders;
        return leaders.size === 1 && leader !== undefined ? this.gateway(leader) : undefined;
      },
      { withinMs: 15_000 },
    );
  }

  /** Kills what still runs and removes the folder. Never throws, so that the failure before it is the one that is shown. */
  async end(): Promise<void> {
    await Promise.all(this.gateways.filter((gateway) => gateway.isRunning).map((gateway) => gateway.kill()));
    try {
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    } catch (error) {
      console.error(`${this.folder} could not be removed: ${String(error)}`);
    }
  }
}
