import type { GatewayChange, Transfer } from "../client/schema.ts";
import { meshNamesBytesMax } from "../config/cross-checks.ts";
import { type TextCheck, textChecks } from "../config/text-check.ts";
import type { GatewayMemberRequest, GatewayService, MemberAddress, MemberKind } from "../gateway/service.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type Answer, type Call, jsonAnswer } from "./answer.ts";
import { objectOf, readObject } from "./json-body.ts";
import { quoted } from "./query-reader.ts";

/** Changes of the site's members over HTTP. What is let through here fits the rules that the YAML is held to. */

type MemberService = Pick<
  GatewayService,
  "status" | "addGateway" | "updateGateway" | "replaceGateway" | "removeGateway" | "transferLeadership"
>;

const weightMax = 64;
const ports = ["mqtt", "mesh", "http"] as const;
const memberExpected = '{"id": ID, "address": {"host": HOST, "mqtt": PORT, "mesh": PORT, "http": PORT}, "role"?, "zone"?, "weight"?}';
const updateExpected = '{"weight"?: 0 to 64, "zone"?: ZONE, or "" for none}';
const addressExpected = '{"host": HOST, "mqtt": PORT, "mesh": PORT, "http": PORT}';

export async function addGateway(service: MemberService, { body }: Call): Promise<Result<Answer>> {
  const request = readMember(body);
  if (!request.ok) return request;
  const { site } = service.status();
  // The mesh names both in one identity, as `check` knows too.
  const bytes = Buffer.byteLength(site) + Buffer.byteLength(request.value.id);
  if (bytes > meshNamesBytesMax)
    return failure(
      "bad-request",
      `the names of the site and of the gateway have ${bytes} bytes together; expected at most ${meshNamesBytesMax}`,
    );
  return changed(await service.addGateway(request.value), request.value.id);
}

export async function updateGateway(service: MemberService, { params, body }: Call): Promise<Result<Answer>> {
  const given = readObject(body, { keys: ["weight", "zone"], expected: updateExpected });
  if (!given.ok) return given;
  if (given.value.size === 0) return failure("bad-request", `the body says nothing; expected ${updateExpected}`);
  const weight = given.value.has("weight") ? readWhole(given.value, "weight", weightMax, 0) : success(undefined);
  if (!weight.ok) return weight;
  const isZone = given.value.has("zone") && given.value.get("zone") !== "";
  const zone = isZone ? readText(given.value, "zone", "plain") : success(given.value.has("zone") ? null : undefined);
  if (!zone.ok) return zone;
  const id = params["id"] ?? "";
  return changed(await service.updateGateway(id, { weight: weight.value, zone: zone.value }), id);
}

export async function replaceGateway(service: MemberService, { params, query }: Call): Promise<Result<Answer>> {
  const force = query.choice("force", ["true", "false"]) === "true";
  if (query.failed !== undefined) return query.failed;
  const id = params["id"] ?? "";
  return changed(await service.replaceGateway(id, { force }), id);
}

export async function removeGateway(service: MemberService, { params, query }: Call): Promise<Result<Answer>> {
  const force = query.choice("force", ["true", "false"]) === "true";
  if (query.failed !== undefined) return query.failed;
  const id = params["id"] ?? "";
  return changed(await service.removeGateway(id, { force }), id);
}

export async function transferLeadership(service: MemberService, { body }: Call): Promise<Result<Answer>> {
  const given = readObject(body, { keys: ["to"], expected: '{"to": ID}, or no body' });
  if (!given.ok) return given;
  const to = given.value.get("to");
  if (to !== undefined && typeof to !== "string")
    return failure("bad-request", `"to": ${quoted(JSON.stringify(to))} is not the id of a gateway`);
  const moved = await service.transferLeadership(to);
  if (!moved.ok) return moved;
  const value: Transfer = { leader: moved.value.leader };
  return success(jsonAnswer(value));
}

function changed(result: Result<void>, gateway: string): Result<Answer> {
  if (!result.ok) return result;
  const value: GatewayChange = { gateway };
  return success(jsonAnswer(value));
}

function readMember(body: Uint8Array | undefined): Result<GatewayMemberRequest> {
  const given = readObject(body, { keys: ["id", "role", "zone", "weight", "address"], expected: memberExpected });
  if (!given.ok) return given;
  const id = readText(given.value, "id", "gatewayId");
  if (!id.ok) return id;
  const role = readRole(given.value.get("role"));
  if (!role.ok) return role;
  const zone = given.value.has("zone") ? readText(given.value, "zone", "plain") : success(undefined);
  if (!zone.ok) return zone;
  const weight = given.value.has("weight") ? readWhole(given.value, "weight", weightMax) : success(1);
  if (!weight.ok) return weight;
  if (role.value === "witness" && given.value.has("weight"))
    return failure("bad-request", '"weight": a witness owns no readings, so that a weight says nothing; leave it out');
  const address = readAddress(given.value.get("address"));
  if (!address.ok) return address;
  return success({ id: id.value, role: role.value, zone: zone.value, weight: weight.value, address: address.value });
}

function readAddress(value: unknown): Result<MemberAddress> {
  const given = objectOf(value, { keys: ["host", ...ports], expected: addressExpected, what: '"address"' });
  if (!given.ok) return given;
  const host = readText(given.value, "host", "host");
  if (!host.ok) return host;
  const found = { mqtt: 0, mesh: 0, http: 0 };
  for (const name of ports) {
    const port = readWhole(given.value, name, 65_535);
    if (!port.ok) return port;
    found[name] = port.value;
  }
  if (new Set(Object.values(found)).size < ports.length)
    return failure("bad-request", `"address": the ports ${Object.values(found).join(", ")} are not three; expected one for each listener`);
  return success({ host: host.value, ...found });
}

function readRole(value: unknown): Result<MemberKind> {
  if (value === undefined || value === "full") return success("full");
  if (value === "witness") return success("witness");
  return failure("bad-request", `"role": ${quoted(JSON.stringify(value))} is not valid; expected full | witness`);
}

function readText(given: ReadonlyMap<string, unknown>, key: string, check: TextCheck): Result<string> {
  const value = given.get(key);
  if (value === undefined) return failure("bad-request", `the body has no "${key}"; expected ${memberExpected}`);
  if (typeof value !== "string") return failure("bad-request", `"${key}": ${quoted(JSON.stringify(value))} is not valid; expected a text`);
  const fault = textChecks[check](value);
  return fault === undefined ? success(value) : failure("bad-request", `"${key}" ${fault.what}; ${fault.expected}`);
}

function readWhole(given: ReadonlyMap<string, unknown>, key: string, max: number, min = 1): Result<number> {
  const value = given.get(key);
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return success(value);
  const found = value === undefined ? "is missing" : `${quoted(JSON.stringify(value))} is not valid`;
  return failure("bad-request", `"${key}": ${found}; expected a whole number from ${min} to ${max}`);
}
