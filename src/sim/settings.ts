/**
 * The settings of a simulated site, read from YAML like those of a real one. Reading them takes longer than many a
 * simulated second, so a world keeps them for all its seeds.
 */

import { loadSite } from "../config/load-site.ts";
import type { SiteSettings, WriteLevel } from "../config/settings.ts";
import { InvariantError } from "../lib/assert.ts";

export interface SettingsChoice {
  readonly gateways: number;
  readonly preset: SiteSettings["raft"]["preset"];
  /** The last gateway only votes. */
  readonly witness: boolean;
  /** Of every gateway's readings log; 0 when left out. */
  readonly commitDelayMs?: number;
  /** The site's write level; `quorum` when left out. */
  readonly write?: WriteLevel;
  /** Owners of each partition; as many as a site has by itself when left out. */
  readonly factor?: number;
  /** How long readings are kept, as the YAML says it; for ever where it does not. */
  readonly retention: string | undefined;
}

/** Settings by what they are to be like, each read once. */
export class SimulatedSettings {
  readonly #read = new Map<string, SiteSettings>();

  of(choice: SettingsChoice): SiteSettings {
    const key = `${choice.gateways} ${choice.preset} ${choice.witness} ${choice.commitDelayMs ?? 0} ${choice.write ?? ""} ${choice.factor ?? ""} ${choice.retention ?? ""}`;
    const known = this.#read.get(key);
    if (known !== undefined) return known;
    const settings = simulatedSettings(choice);
    this.#read.set(key, settings);
    return settings;
  }
}

/** A site on loopback, as a YAML file would give it. */
function simulatedSettings(choice: SettingsChoice): SiteSettings {
  const gateways = Array.from(
    { length: choice.gateways },
    (_, i) =>
      `  gw-${String.fromCharCode(97 + i)}: { host: 127.0.0.1, listen: { mqtt: ${1000 + i * 10}, mesh: ${1001 + i * 10}, http: ${1002 + i * 10} }${choice.witness && i === choice.gateways - 1 ? ", role: witness" : ""} }`,
  );
  const files: Record<string, string> = {
    "site.yaml": [
      "site: simulated",
      "gateways:",
      ...gateways,
      "devices: devices",
      "jobs: jobs",
      `raft: { preset: ${choice.preset} }`,
      ...replicationLines(choice),
      `store: { commitDelay: ${choice.commitDelayMs ?? 0}ms }`,
      ...(choice.retention === undefined ? [] : [`retention: ${choice.retention}`]),
      "sinks:",
      "  archive: { type: file }",
      "",
    ].join("\n"),
    "devices/sensor.yaml":
      "profile: sensor\ntopic: sensors/{device}/data\npayload: json\ntimestamp: { path: ts, unit: ms }\nmetrics:\n  value: { path: v }\n",
    "devices/plain.yaml": "profile: plain\ntopic: plain/{device}\npayload: number\nmetrics:\n  value: {}\n",
    "jobs/mean.yaml":
      'name: mean\nschedule: "*/10 * * * * *"\nwindow: 10s\nsource: { metric: value }\ngroupBy: [device]\naggregate: { mean: mean, n: count }\nsinks: [archive]\n',
  };
  const loaded = loadSite(
    {
      readFile: (path) => {
        const text = files[path];
        return text === undefined
          ? { ok: false, missing: true, reason: "no such file" }
          : { ok: true, value: new TextEncoder().encode(text) };
      },
      listFolder: (path) => ({
        ok: true,
        value: Object.keys(files).flatMap((name) => (name.startsWith(`${path}/`) ? [name.slice(path.length + 1)] : [])),
      }),
    },
    "site.yaml",
    {},
  );
  if (!loaded.ok) throw new InvariantError(`the simulated site's settings: ${JSON.stringify(loaded)}`);
  return loaded.settings;
}

function replicationLines({ factor, write }: SettingsChoice): string[] {
  const said = [...(factor === undefined ? [] : [`factor: ${factor}`]), ...(write === undefined ? [] : [`write: ${write}`])];
  return said.length === 0 ? [] : [`replication: { ${said.join(", ")} }`];
}
