/**
 * Who this data folder is: written before the first word to a peer, fsynced, never minted anew. Document `identity`:
 * `{ version, site, gateway, incarnation, startCount, stage, bootstrap? }`, the
 * bootstrap as hex of its MessagePack. Stages: `pending` (belongs to no cluster
 * yet), `joining` (the bootstrap entry is known, the logs may not hold their first records yet), `member`.
 */

import { decodeCommand } from "../core/site/command-codec.ts";
import type { BootstrapCommand } from "../core/site/commands.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { fromHex, toHex } from "../lib/hex.ts";
import { type GatewayId, type Incarnation, incarnation } from "../lib/ids.ts";
import type { Packing } from "../lib/packing.ts";
import type { Documents } from "../ports/documents.ts";
import type { Entropy } from "../ports/entropy.ts";

export interface Identity {
  readonly version: 1;
  readonly site: string;
  readonly gateway: GatewayId;
  readonly incarnation: Incarnation;
  readonly startCount: number;
  readonly stage: "pending" | "joining" | "member";
  readonly bootstrap: BootstrapCommand | undefined;
  /** Of a gateway that was admitted after the founding; a founder's stands in the bootstrap. */
  readonly slot?: number;
}

export interface IdentityOptions {
  readonly documents: Documents;
  readonly entropy: Entropy;
  readonly packing: Packing;
  readonly site: string;
  readonly gateway: GatewayId;
}

const documentName = "identity";

/** Reads or mints the identity and counts this start. Fails with `data-damaged` or `data-foreign`. */
export async function openIdentity(options: IdentityOptions): Promise<Result<Identity>> {
  const read = await options.documents.read(documentName);
  if (!read.ok)
    return failure(
      "data-damaged",
      `${read.message}. The identity of a data folder is never made anew: restore the file, or move the folder away and admit this gateway anew ("fogbank gateway replace")`,
    );
  const known = read.value === undefined ? mint(options) : parse(read.value, options.packing);
  if (known === undefined) return failure("data-damaged", "the identity of the data folder is not of a form that this version knows");
  if (known.site !== options.site) {
    return failure(
      "data-foreign",
      `the data folder belongs to site "${known.site}", the settings are of site "${options.site}": give each site a data folder of its own (--data)`,
    );
  }
  if (known.gateway !== options.gateway) {
    return failure(
      "data-foreign",
      `the data folder belongs to gateway "${known.gateway}", not to "${options.gateway}": give each gateway a data folder of its own (--data)`,
    );
  }
  const started: Identity = { ...known, startCount: known.startCount + 1 };
  const written = await writeIdentity(options, started);
  return written.ok ? success(started) : written;
}

export function writeIdentity(options: Pick<IdentityOptions, "documents" | "packing">, identity: Identity): Promise<Result<void>> {
  const bootstrap = identity.bootstrap === undefined ? undefined : toHex(options.packing.pack(identity.bootstrap));
  return options.documents.write(documentName, { ...identity, bootstrap });
}

function mint(options: IdentityOptions): Identity {
  return {
    version: 1,
    site: options.site,
    gateway: options.gateway,
    incarnation: incarnation(options.entropy.hex(16)),
    startCount: 0,
    stage: "pending",
    bootstrap: undefined,
  };
}

function parse(value: unknown, packing: Packing): Identity | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const record = value as Partial<Record<keyof Identity, unknown>>;
  const textual = [record.site, record.gateway, record.incarnation].every((item) => typeof item === "string" && item.length > 0);
  if (record.version !== 1 || !textual || typeof record.startCount !== "number" || !Number.isSafeInteger(record.startCount))
    return undefined;
  if (record.slot !== undefined && !Number.isSafeInteger(record.slot)) return undefined;
  if (record.stage === "pending") return { ...(value as Identity), bootstrap: undefined };
  if ((record.stage !== "joining" && record.stage !== "member") || typeof record.bootstrap !== "string") return undefined;
  const bytes = fromHex(record.bootstrap);
  const bootstrap = bytes === undefined ? undefined : decodeCommand(bytes, packing);
  if (bootstrap?.ok !== true || bootstrap.value.t !== "bootstrap") return undefined;
  return { ...(value as Identity), bootstrap: bootstrap.value };
}
