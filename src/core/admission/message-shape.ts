/** Whether what a peer sent is an admission message: it comes before anything is known of the peer, so that each field is looked at. */

import { isSiteCommand } from "../site/command-codec.ts";

import { type AdmissionMessage, meshAddress } from "./hello.ts";

export function isAdmissionMessage(value: unknown): value is AdmissionMessage {
  if (typeof value !== "object" || value === null || !("t" in value)) return false;
  const { t, hello, refusal, welcome } = value as { t: unknown; hello?: unknown; refusal?: unknown; welcome?: unknown };
  switch (t) {
    case "hello":
      return isHello(hello);
    case "refusal":
      return hasStrings(refusal, ["code", "session", "explanation"]);
    case "welcome":
      return isWelcome(welcome);
    default:
      return false;
  }
}

function isHello(hello: unknown): boolean {
  const strings = hasStrings(hello, ["site", "from", "incarnation", "session", "listDigest", "settingsDigest"]);
  if (!strings || !hasCounts(hello, ["startCount", "protocolMin", "protocolMax"])) return false;
  // What older versions do not say.
  const { featureMax, appliedIndex, mesh } = hello as { featureMax?: unknown; appliedIndex?: unknown; mesh?: unknown };
  const counts = [featureMax, appliedIndex].every(
    (count) => count === undefined || (Number.isSafeInteger(count) && (count as number) >= 0),
  );
  return counts && (mesh === undefined || meshAddress(mesh));
}

function isWelcome(welcome: unknown): boolean {
  if (!hasStrings(welcome, ["session"])) return false;
  const { bootstrap, admitted } = welcome as { bootstrap?: unknown; admitted?: unknown };
  if (!isSiteCommand(bootstrap) || bootstrap.t !== "bootstrap") return false;
  return admitted === undefined || (hasStrings(admitted, ["incarnation"]) && hasCounts(admitted, ["slot"]));
}

function hasCounts(value: unknown, names: readonly string[]): boolean {
  return names.every((name) => Number.isSafeInteger((value as Record<string, unknown>)[name]));
}

function hasStrings(value: unknown, names: readonly string[]): boolean {
  return typeof value === "object" && value !== null && names.every((name) => typeof (value as Record<string, unknown>)[name] === "string");
}
