// Goal: a YAML that differs from the site's own list is said in words that name the gateway, the value and the remedy, and
// a YAML that agrees says nothing. Method: one list against others.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { listDifferences } from "../../src/gateway/member-list.ts";
import type { MemberState } from "../../src/gateway/service.ts";
import { gatewayId } from "../../src/lib/ids.ts";
import { settingsOf } from "../config/memory-site.ts";

const { gateways } = settingsOf({
  "site.yaml":
    "site: s\ngateways:\n  gw-a: { host: 127.0.0.1 }\n  gw-b: { host: 127.0.0.2, zone: hall, weight: 2, listen: { mesh: 9000 } }\n  gw-c: { host: 127.0.0.3, role: witness }\n",
});

function member(id: string, more: Partial<MemberState> = {}): MemberState {
  const address = { host: `127.0.0.${id.charCodeAt(3) - 96}`, mqtt: 1883, mesh: 7883, http: 7880 };
  const common = {
    kind: "full",
    membership: "voter",
    incarnation: "0f",
    zone: undefined,
    weight: 1,
    matchIndex: 3,
    filling: 0,
    leaving: 0,
    planned: 0,
  } as const;
  return { ...common, id: gatewayId(id), address, ...more };
}

const a = member("gw-a");
const b = member("gw-b", { zone: "hall", weight: 2, address: { host: "127.0.0.2", mqtt: 1, mesh: 9000, http: 2 } });
const c = member("gw-c", { kind: "witness" });

const test = suite("gateway: list of members");

test("equal lists, in any order, say nothing", () => {
  assert.equal(listDifferences(gateways, [a, b, c]), []);
  assert.equal(listDifferences(gateways, [c, b, a]), []);
});

test("who is missing on either side is named; one that leaves is not missed", () => {
  assert.equal(listDifferences(gateways, [a, b, member("gw-d")]), [
    "gw-d is a gateway of the site, and not in this gateway's YAML: add it there",
    "this gateway's YAML lists gw-c, which is no gateway of the site: take it out there, or fogbank gateway add gw-c",
  ]);
  assert.equal(listDifferences(gateways, [a, b, c, member("gw-d", { membership: "leaving" })]), []);
});

test("each aspect that differs is named with both values", () => {
  const other = member("gw-b", { kind: "witness", weight: 1, address: { host: "10.0.0.2", mqtt: 1, mesh: 7883, http: 2 } });
  assert.equal(listDifferences(gateways, [a, other, c]), [
    "this gateway's YAML gives gw-b the host 127.0.0.2, the mesh port 9000; the site knows 10.0.0.2, 7883. This gateway calls it by its own YAML",
    "this gateway's YAML gives gw-b the role full, the zone hall, the weight 2; the site knows witness, none, 1, which counts",
  ]);
});

test.run();
