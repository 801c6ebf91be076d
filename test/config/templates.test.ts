// Goal: what Fogbank itself writes (init, demo) and ships (devices/, configs/) loads without a problem or a warning.
// Method: load each of them; the shipped files from disk.
import { readdirSync, readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { demoDevices, demoGatewayId, demoSite } from "../../src/config/demo-site.ts";
import { loadSite } from "../../src/config/load-site.ts";
import { compileProfiles } from "../../src/config/profile-set.ts";
import { starterSite, type TemplateFile } from "../../src/config/starter-site.ts";
import { load } from "./memory-site.ts";

const test = suite("config: templates");
const secret = "0123456789abcdef0123456789abcdef";

function loaded(files: readonly TemplateFile[]) {
  const result = load(Object.fromEntries(files.map(({ path, text }) => [path, text])));
  assert.ok(result.ok, JSON.stringify(result));
  if (!result.ok) throw new Error("unreachable");
  assert.equal(result.warnings, []);
  return result.settings;
}

test("the starter site", () => {
  const files = starterSite({ site: 'my "site"', secret });
  const settings = loaded(files);
  assert.is(settings.site, 'my "site"');
  assert.is(settings.secret, secret);
  assert.is(settings.mqtt.anonymous, true);
  assert.equal(
    settings.profiles.map(({ name }) => name),
    ["climate-sensor"],
  );
  assert.equal(
    settings.jobs.map(({ name, sinks }) => [name, sinks]),
    [["hourly-climate", ["archive"]]],
  );
  assert.equal(
    files.filter((file) => file.isSecret).map(({ path }) => path),
    ["secret"],
  );
  assert.not.ok(files.some((file) => !file.isSecret && file.text.includes(secret)));
});

test("the demo", () => {
  const settings = loaded(demoSite({ gateways: 3, portBase: 18_000, host: "127.0.0.1", secret }));
  assert.equal(
    settings.gateways.map(({ id, listen }) => [id, listen.mqtt.port, listen.mesh.port, listen.http.port, listen.http.host]),
    [
      ["gw-a", 18_001, 18_002, 18_003, "127.0.0.1"],
      ["gw-b", 18_011, 18_012, 18_013, "127.0.0.1"],
      ["gw-c", 18_021, 18_022, 18_023, "127.0.0.1"],
    ],
  );
  assert.is(settings.mqtt.anonymous, true);
  assert.is(settings.inventory.length, 12);
  const set = compileProfiles(settings.profiles, settings.inventory);
  for (const { id, room, topic } of demoDevices) {
    const match = set.match(topic);
    assert.is(match?.device, id);
    assert.is(match && set.inventory.get(match.device)?.labels.room, room);
  }
  assert.is(loaded(demoSite({ gateways: 30, portBase: 20_000, host: "127.0.0.1", secret })).gateways.at(-1)?.id, "gw-ad");
  assert.equal([0, 25, 26, 701, 702].map(demoGatewayId), ["gw-a", "gw-z", "gw-aa", "gw-zz", "gw-aaa"]);
});

test("the shipped examples", () => {
  const root = new URL("../../", import.meta.url).pathname;
  const reader = {
    readFile: (path: string) => ({ ok: true, value: readFileSync(root + path) }) as const,
    listFolder: (path: string) =>
      ({
        ok: true,
        value: readdirSync(root + path, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : [])),
      }) as const,
  };
  const env = { FOGBANK_SECRET: secret, FOGBANK_TOKEN: "a-long-token", FOGBANK_SENSORS_PASSWORD: "pw" };
  const names = readdirSync(`${root}configs`).filter((name) => name.endsWith(".yaml"));
  assert.ok(names.length >= 3);
  for (const name of names) {
    const result = loadSite(reader, `configs/${name}`, env);
    assert.ok(result.ok, JSON.stringify(result));
    assert.equal(result.ok && result.warnings, []);
    assert.ok(result.ok && result.settings.profiles.length >= 4 && result.settings.jobs.length >= 1);
  }
});
test.run();
