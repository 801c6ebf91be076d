import type { TemplateFile } from "./starter-site.ts";

/** The site of `fogbank demo`: gateways on one host, a dozen climate sensors in three rooms, and a job every five seconds. */

export interface DemoDevice {
  readonly id: string;
  readonly room: string;
  /** Where the device publishes JSON `{"ts": ms, "t": °C, "h": %}`. */
  readonly topic: string;
}

const rooms = ["room-1", "room-2", "room-3"] as const;

export const demoDevices: readonly DemoDevice[] = rooms.flatMap((room) =>
  ["a", "b", "c", "d"].map((letter) => ({ id: `${room}-${letter}`, room, topic: `rooms/${room}-${letter}/climate` })),
);

/** Ports of gateway `index` (from 0): mqtt N+10i+1, mesh N+10i+2, http N+10i+3. */
export function demoPorts(portBase: number, index: number): { readonly mqtt: number; readonly mesh: number; readonly http: number } {
  const base = portBase + 10 * index;
  return { mqtt: base + 1, mesh: base + 2, http: base + 3 };
}

/** gw-a … gw-z, gw-aa, … */
export function demoGatewayId(index: number): string {
  let letters = "";
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) letters = String.fromCharCode(97 + (rest % 26)) + letters;
  return `gw-${letters}`;
}

export function demoSite(options: {
  readonly gateways: number;
  readonly portBase: number;
  readonly host: string;
  readonly secret: string;
  /** Where gateways listen for each other, when that is not where they reach each other: a proxy is in between. */
  readonly meshHost?: string;
  /** The engine of all gateways' stores; LevelDB when left out. */
  readonly store?: "level" | "lowdb";
}): readonly TemplateFile[] {
  const gateways = Array.from({ length: options.gateways }, (_, index) => {
    const { mqtt, mesh, http } = demoPorts(options.portBase, index);
    const meshAddress = options.meshHost === undefined ? mesh : JSON.stringify(`${options.meshHost}:${mesh}`);
    return `  ${demoGatewayId(index)}: { host: ${JSON.stringify(options.host)}, listen: { mqtt: ${mqtt}, mesh: ${meshAddress}, http: ${http} } }\n`;
  });
  const store = options.store === "lowdb" ? "store: { engine: lowdb }\n" : "";
  const site = `site: demo\nsecret: \${file:./secret}\ngateways:\n${gateways.join("")}devices: ./devices\njobs: ./jobs\nsinks:\n  archive: { type: file }\n${store}`;
  return [
    file("site.yaml", site),
    { path: "secret", text: `${options.secret}\n`, isSecret: true },
    file("devices/room-climate.yaml", profileYaml),
    file("devices/inventory.yaml", inventoryYaml()),
    file("jobs/room-climate.yaml", jobYaml),
  ];
}

function file(path: string, text: string): TemplateFile {
  return { path, text, isSecret: false };
}

const profileYaml = `profile: room-climate
topic: rooms/{device}/climate
payload: json
timestamp: { path: ts, unit: ms }
metrics:
  temperature: { path: t, unit: Cel, min: -40, max: 125 }
  humidity: { path: h, unit: "%RH", min: 0, max: 100 }
`;

function inventoryYaml(): string {
  const entries = demoDevices.map(({ id, room }) => `  ${id}: { profile: room-climate, labels: { room: ${room} } }\n`);
  return `devices:\n${entries.join("")}`;
}

const jobYaml = `name: room-climate
schedule: "*/5 * * * * *"
window: 5s
source: { metric: temperature }
groupBy: [label.room]
aggregate: { mean: mean, max: max, p95: quantile(0.95), n: count }
sinks: [archive]
`;
