// Goal: a site on lowdb stores takes readings, survives SIGKILL of all its gateways at once, and answers; its files can be read by a
// person; and a folder of one engine is refused by the other. Method: three real gateways with a commit delay, a job run by hand
// (its rows go to the store), the kill, the restart, then the engine changed in the YAML.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Ledger, ledgerProfile } from "./support/ledger.ts";
import { must, siteYaml, TestSite } from "./support/site.ts";
import { until } from "./support/until.ts";

const test = suite("a site on lowdb");

const job = `name: all
schedule: "0 0 1 1 *"
window: 1m
source: { metric: v }
aggregate: { n: count }
sinks: [archive]
`;

test("readings and results survive SIGKILL; the other engine refuses the folder", async () => {
  const site = await TestSite.create({ files: { "devices/counter.yaml": ledgerProfile, "jobs/all.yaml": job } });
  try {
    const yaml = siteYaml("e2e", site.portsById);
    site.write("site.yaml", `${yaml}store: { engine: lowdb, commitDelay: 50ms }\n`);
    for (const gateway of site.gateways) gateway.start();
    await Promise.all(site.gateways.map((gateway) => gateway.ready()));
    const ledger = new Ledger();
    await Promise.all(site.gateways.map((gateway) => ledger.publish(`of-${gateway.id}`, gateway, 200)));
    const [first] = site.gateways;
    assert.ok(first !== undefined);
    must(await first.client.runJob("all", { from: "-70m", to: "-50m" }));
    const stored = () =>
      site.gateways.every((gateway) => readFileSync(join(gateway.dataFolder, "store.json"), "utf8").includes("results of the job all"));
    await until("every gateway has stored the results", async () => (stored() ? true : undefined), { withinMs: 15_000 });

    await Promise.all(site.gateways.map((gateway) => gateway.kill()));
    for (const gateway of site.gateways) gateway.start();
    await Promise.all(site.gateways.map((gateway) => gateway.ready()));
    assert.is(ledger.size, 600);
    await ledger.check(site.gateways);
    for (const gateway of site.gateways) assert.ok(must(await gateway.client.results({ job: "all" })).results.length > 0, gateway.id);

    await first.stop();
    site.write("site.yaml", yaml);
    const refused = await first.start().ended(15_000);
    assert.is(refused.code, 1, first.process.tail());
    assert.match(first.output, /written with store: \{ engine: lowdb \}.*settings say level/s);
    site.write("site.yaml", `${yaml}store: { engine: lowdb }\n`);
    first.start();
    await first.ready();
    await ledger.check([first]);
  } finally {
    await site.end();
  }
});

test.run();
