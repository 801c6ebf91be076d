import { formatDuration, parseDuration } from "../lib/duration.ts";
import { suggest } from "../lib/suggest.ts";
import { majorityOf, votersWanted } from "../lib/voters.ts";
import type { Draft } from "./check-node.ts";
import { bindHost, defaultPorts, listeners } from "./listen.ts";
import type { Place, ProblemList } from "./problem.ts";
import type { JobFile, ProfileFile, SiteFile } from "./schema.ts";
import type { SiteSettings } from "./settings.ts";
import type { Located, SiteDraft } from "./site-draft.ts";
import { isLoopback, quote } from "./text-check.ts";
import { topicFault, topicsOverlap } from "./topic-filter.ts";

/** What no single value can show: names that must be unique or known, ports that collide, a site open without a secret. */
export function checkSite(draft: SiteDraft, problems: ProblemList): void {
  checkPorts(draft.site, problems);
  checkWitnesses(draft.site, problems);
  checkSecret(draft.site, problems);
  checkMeshNames(draft.site, problems);
  checkUsers(draft, problems);
  unique(draft.profiles, { what: "profile", key: "profile", nameOf: (profile) => profile.profile }, problems);
  unique(draft.jobs, { what: "job", key: "name", nameOf: (job) => job.name }, problems);
  for (const profile of draft.profiles) checkProfile(profile, problems);
  checkTopics(draft.profiles, problems);
  checkInventory(draft, problems);
  for (const job of draft.jobs) checkJob(job, draft, problems);
}

/** What works, but hardly as it was meant. */
export function findWarnings(draft: SiteDraft, settings: SiteSettings, warnings: ProblemList): void {
  const { site } = draft;
  if (!settings.mqtt.anonymous && settings.mqtt.users.length === 0) {
    const place = site.draft.mqtt === undefined ? site.places.key("gateways") : site.places.key("mqtt");
    warnings.add(
      place,
      "no device can connect: anonymous clients are not allowed here, and there are no users",
      'set "mqtt.users", passwords in the inventory, or "mqtt.anonymous: true"',
    );
  }
  warnOfWitnesses(site, settings, warnings);
  warnOfRetention(draft, settings, warnings);
  const labels = new Set(settings.inventory.flatMap((entry) => Object.keys(entry.labels)));
  for (const job of draft.jobs) {
    for (const [index, key] of (job.draft.groupBy ?? []).entries()) {
      const label = key?.startsWith("label.") === true ? key.slice("label.".length) : undefined;
      if (label !== undefined && !labels.has(label))
        warnings.add(
          job.places.value("groupBy", index),
          `no device of the inventory has the label ${quote(label)}`,
          known(label, labels, "labels"),
        );
    }
  }
}

/** A witness is worth its place where it lets one more gateway be away. */
function warnOfWitnesses({ places }: Located<SiteFile>, { gateways }: SiteSettings, warnings: ProblemList): void {
  const witness = gateways.find((gateway) => gateway.role === "witness");
  const count = gateways.length;
  if (witness === undefined || awayMax(count) > awayMax(count - 1)) return;
  warnings.add(
    places.key("gateways", witness.id, "role"),
    `of ${count} gateways no more may be away than of ${count - 1}: ${witness.id} adds nothing but its vote`,
    "a witness helps where it is the third or the fifth gateway",
  );
}

/** How many may be away while the others still agree. */
function awayMax(gateways: number): number {
  const voters = votersWanted(gateways);
  return voters - majorityOf(voters);
}

/**
 * Readings stay until the windows of jobs with sinks are committed: a longer window makes the retention longer. Rollups that are to
 * go before their readings would never be read.
 */
function warnOfRetention(draft: SiteDraft, settings: SiteSettings, warnings: ProblemList): void {
  const { rawMs, rollupMs } = settings.retention;
  if (rawMs === undefined) return;
  if (rollupMs !== undefined && rollupMs <= rawMs)
    warnings.add(
      draft.site.places.value("retention", "rollup"),
      `rollups are kept for ${formatDuration(rollupMs)}, the readings that they are made of for ${formatDuration(rawMs)}: they go with them`,
      'more than "retention.raw"',
    );
  for (const job of draft.jobs) {
    const windowMs = parseDuration(job.draft.window ?? "") ?? 0;
    if (windowMs > rawMs && (job.draft.sinks ?? []).length > 0)
      warnings.add(
        job.places.value("window"),
        `the window of ${formatDuration(windowMs)} is longer than "retention.raw" (${formatDuration(rawMs)}): readings are kept until it is committed`,
        "a shorter window, or a longer retention",
      );
  }
}

function checkPorts({ draft, places }: Located<SiteFile>, problems: ProblemList): void {
  const users = new Map<string, { readonly who: string; readonly bind: string | undefined }[]>();
  for (const [id, gateway] of Object.entries(draft.gateways ?? {})) {
    if (gateway?.host === undefined) continue;
    for (const name of listeners) {
      const entry = gateway.listen?.[name];
      const { port, bind } = bindHost(gateway.host, entry ?? defaultPorts[name]);
      const machine = `${canonicalHost(gateway.host)} ${port}`;
      const others = users.get(machine) ?? [];
      const clash = others.find((other) => other.bind === bind || other.bind === undefined || bind === undefined);
      if (clash !== undefined) {
        const place = entry === undefined ? places.key("gateways", id) : places.value("gateways", id, "listen", name);
        problems.add(
          place,
          `port ${port} of ${gateway.host} is taken by ${clash.who} and ${id} ${name}`,
          "expected a port of its own for each listener of a host",
        );
      }
      users.set(machine, [...others, { who: `${id} ${name}`, bind }]);
    }
  }
}

/** A witness votes and owns nothing: somebody must keep the readings. */
function checkWitnesses({ draft, places }: Located<SiteFile>, problems: ProblemList): void {
  const gateways = Object.entries(draft.gateways ?? {});
  for (const [id, gateway] of gateways) {
    if (gateway?.role === "witness" && gateway.weight !== undefined)
      problems.add(
        places.key("gateways", id, "weight"),
        `${id} is a witness, which owns no readings: a weight says nothing`,
        'remove it, or use "role: full"',
      );
  }
  if (gateways.length > 0 && gateways.every(([, gateway]) => gateway?.role === "witness"))
    problems.add(
      places.key("gateways"),
      "all gateways are witnesses: nobody would keep the readings",
      "expected at least one full gateway",
    );
}

function canonicalHost(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host.toLowerCase();
}

/** Without a secret the mesh would be open to anybody who can reach it, so that all listeners bind loopback. */
function checkSecret({ draft, places }: Located<SiteFile>, problems: ProblemList): void {
  // A secret that was given, but not accepted, has its problem already.
  if (places.has("secret")) return;
  const gateways = Object.entries(draft.gateways ?? {});
  for (const [id, gateway] of gateways) {
    if (gateways.length > 1 && gateway?.host !== undefined && !isLoopback(gateway.host)) {
      problems.add(
        places.value("gateways", id, "host"),
        `the host ${gateway.host} is not loopback, and the site has no secret`,
        'set "secret: ${file:./secret}" (16 characters or more)',
      );
    }
    for (const name of listeners) {
      const entry = gateway?.listen?.[name];
      const host = entry === undefined ? undefined : bindHost("127.0.0.1", entry).bind;
      if (host === undefined || isLoopback(host)) continue;
      problems.add(
        places.value("gateways", id, "listen", name),
        `${quote(name)} would listen on ${host}, and the site has no secret`,
        'set "secret: ${file:./secret}", or listen on 127.0.0.1',
      );
    }
  }
}

/**
 * Bytes of the site's name and a gateway's id together: with what the mesh adds (18 bytes), both must fit the identity of a
 * TLS pre-shared key, for which OpenSSL has 128.
 */
export const meshNamesBytesMax = 110;

function checkMeshNames({ draft, places }: Located<SiteFile>, problems: ProblemList): void {
  if (draft.site === undefined) return;
  const bytesOf = (text: string) => new TextEncoder().encode(text).length;
  const longest = Object.keys(draft.gateways ?? {}).reduce((most, id) => Math.max(most, bytesOf(id)), 0);
  const bytes = bytesOf(draft.site);
  if (bytes + longest <= meshNamesBytesMax) return;
  problems.add(
    places.value("site"),
    `${quote(draft.site)} has ${bytes} bytes in UTF-8, which with the ${longest} of the longest gateway id is too much for the mesh`,
    `expected at most ${meshNamesBytesMax} together`,
  );
}

function checkUsers({ site, inventories }: SiteDraft, problems: ProblemList): void {
  const seen = new Map<string, Place>();
  const check = (name: string, place: Place, what: string) => {
    const first = seen.get(name);
    if (first === undefined) seen.set(name, place);
    else
      problems.add(place, `${what} ${quote(name)} has a password twice`, `expected it once (the other is at ${first.file}:${first.line})`);
  };
  for (const [index, user] of (site.draft.mqtt?.users ?? []).entries()) {
    if (user?.name !== undefined) check(user.name, site.places.value("mqtt", "users", index, "name"), "the user");
  }
  for (const inventory of inventories) {
    for (const [id, device] of Object.entries(inventory.draft.devices ?? {})) {
      if (device?.password !== undefined) check(id, inventory.places.key("devices", id), "the device");
    }
  }
}

function unique<T>(
  items: readonly Located<T>[],
  options: { readonly what: string; readonly key: string; readonly nameOf: (draft: Draft<T>) => string | undefined },
  problems: ProblemList,
): void {
  const seen = new Map<string, Place>();
  for (const { draft, places } of items) {
    const name = options.nameOf(draft);
    if (name === undefined) continue;
    const place = places.value(options.key);
    const first = seen.get(name);
    if (first === undefined) seen.set(name, place);
    else
      problems.add(
        place,
        `there are two ${options.what}s named ${quote(name)}`,
        `expected a name of its own (the other is at ${first.file}:${first.line})`,
      );
  }
}

function checkProfile({ draft, places }: Located<ProfileFile>, problems: ProblemList): void {
  const { payload } = draft;
  const metrics = Object.entries(draft.metrics ?? {});
  const isJson = payload === undefined || payload === "json";
  if (!isJson && metrics.length > 1)
    problems.add(
      places.key("metrics"),
      `a payload ${quote(payload)} is one value, but there are ${metrics.length} metrics`,
      "expected one metric",
    );
  if (!isJson && draft.timestamp !== undefined)
    problems.add(places.key("timestamp"), `a payload ${quote(payload)} has no timestamp`, 'remove it, or use "payload: json"');
  for (const [name, metric] of metrics) {
    const at = (key: string) => places.key("metrics", name, key);
    if (!isJson && metric?.path !== undefined)
      problems.add(at("path"), `a payload ${quote(payload)} has no paths`, 'remove it, or use "payload: json"');
    for (const key of ["scale", "min", "max", "deadband"] as const) {
      if (payload === "text" && metric?.[key] !== undefined)
        problems.add(at(key), `${quote(key)} is for numbers, but the payload is text`, 'remove it, or use "payload: number"');
    }
    if (metric?.scale === 0)
      problems.add(places.value("metrics", name, "scale"), '"scale" is 0, which makes every value 0', "expected another number");
    if (metric?.min !== undefined && metric.max !== undefined && metric.min > metric.max) {
      problems.add(
        places.value("metrics", name, "min"),
        `"min" is ${metric.min}, above "max" (${metric.max})`,
        "expected at most the maximum",
      );
    }
  }
}

/** A topic that two profiles map would be decoded by chance. */
function checkTopics(profiles: readonly Located<ProfileFile>[], problems: ProblemList): void {
  const topics = profiles.flatMap(({ draft, places }) =>
    draft.topic === undefined || topicFault(draft.topic) !== undefined
      ? []
      : [{ topic: draft.topic, name: draft.profile ?? "?", place: places.value("topic") }],
  );
  for (const [index, later] of topics.entries()) {
    const earlier = topics.slice(0, index).find((other) => topicsOverlap(other.topic, later.topic));
    if (earlier === undefined) continue;
    problems.add(
      later.place,
      `the topics of the profiles ${quote(earlier.name)} (${earlier.topic}) and ${quote(later.name)} (${later.topic}) can match the same message`,
      `expected topics that exclude each other (the other is at ${earlier.place.file}:${earlier.place.line})`,
    );
  }
}

function checkInventory({ profiles, inventories, profilesComplete }: SiteDraft, problems: ProblemList): void {
  const names = new Set(profiles.flatMap(({ draft }) => (draft.profile === undefined ? [] : [draft.profile])));
  const seen = new Map<string, Place>();
  for (const { draft, places } of inventories) {
    for (const [id, device] of Object.entries(draft.devices ?? {})) {
      const first = seen.get(id);
      if (first !== undefined)
        problems.add(
          places.key("devices", id),
          `the device ${quote(id)} is listed twice`,
          `expected it once (the other is at ${first.file}:${first.line})`,
        );
      seen.set(id, first ?? places.key("devices", id));
      const profile = device?.profile;
      if (profile === undefined || names.has(profile) || !profilesComplete) continue;
      problems.add(places.value("devices", id, "profile"), `there is no profile ${quote(profile)}`, known(profile, names, "profiles"));
    }
  }
}

function checkJob({ draft, places }: Located<JobFile>, site: SiteDraft, problems: ProblemList): void {
  const sinks = Object.keys(site.site.draft.sinks ?? {});
  repeated(draft.sinks, (index) => places.value("sinks", index), "the sink", problems);
  repeated(draft.groupBy, (index) => places.value("groupBy", index), "the key", problems);
  for (const [index, sink] of (draft.sinks ?? []).entries()) {
    // A sink whose entry was wrong is named, and has its problem already.
    const isNamed = sink !== undefined && (sinks.includes(sink) || site.site.places.has("sinks", sink));
    if (sink !== undefined && !isNamed)
      problems.add(places.value("sinks", index), `there is no sink ${quote(sink)}`, known(sink, sinks, "sinks"));
  }
  const metrics = new Set(site.profiles.flatMap((profile) => Object.keys(profile.draft.metrics ?? {})));
  const metric = draft.source?.metric;
  if (metric !== undefined && metrics.size > 0 && site.profilesComplete && !metrics.has(metric)) {
    problems.add(places.value("source", "metric"), `no profile has the metric ${quote(metric)}`, known(metric, metrics, "metrics"));
  }
}

function repeated(
  values: readonly (string | undefined)[] | undefined,
  placeOf: (index: number) => Place,
  what: string,
  problems: ProblemList,
): void {
  for (const [index, value] of (values ?? []).entries()) {
    if (value !== undefined && (values ?? []).indexOf(value) < index)
      problems.add(placeOf(index), `${what} ${quote(value)} is listed twice`, "expected it once");
  }
}

/** "did you mean …?", or what there is to choose from. */
function known(name: string, candidates: Iterable<string>, what: string): string {
  const all = [...candidates];
  const near = suggest(name, all);
  if (near !== undefined) return `did you mean ${quote(near)}?`;
  if (all.length === 0) return `there are no ${what}`;
  return `expected one of ${all.slice(0, 8).join(", ")}${all.length > 8 ? ", …" : ""}`;
}
