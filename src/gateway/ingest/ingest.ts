/**
 * From PUBLISH to round: finds the topic's profile, decodes, stamps, applies deadbands, and appends the readings to the
 * lane of their owners, together with the callback that acknowledges the message. Nothing here waits for anything.
 */

import type { DecodedMessage, PayloadReject } from "../../config/decoded-message.ts";
import { createDecoder, type PayloadDecoder, type ProfileSet } from "../../config/profile-set.ts";
import type { ProfileSettings, WriteLevel } from "../../config/settings.ts";
import { defined } from "../../lib/assert.ts";
import { crc32c } from "../../lib/crc32c.ts";
import { type DeviceId, deviceId, type Partition, partitionOf } from "../../lib/ids.ts";
import { ownText } from "../../lib/own-text.ts";
import { ValueType } from "../../lib/reading.ts";
import type { SeriesName } from "../../lib/reading-columns.ts";
import type { BrokerClient } from "../../ports/broker.ts";
import type { GatewayContext } from "../context.ts";
import { plausibleFromMs, type SiteClock } from "../site-clock.ts";
import { ClientSession } from "./client-session.ts";
import type { IngestCounters } from "./counters.ts";
import type { Lane } from "./lane.ts";
import { Resends } from "./resends.ts";
import type { Route } from "./route.ts";
import type { Stamper } from "./stamper.ts";
import { DeadLetters, previewPayload, UnmatchedTopics } from "./unstored.ts";

export interface IngestOptions {
  readonly context: GatewayContext;
  readonly profiles: ProfileSet;
  readonly counters: IngestCounters;
  readonly stamper: Stamper;
  /** What stamps are made of, and what the devices' own times are held against. */
  readonly siteClock: Pick<SiteClock, "wallMs">;
  readonly laneOf: (partition: Partition, level: WriteLevel) => Lane;
  /** A payload of so many bytes, held ones counted with what that costs, gave readings to the lane. */
  readonly filled: (lane: Lane, payloadBytes: number) => void;
  /** Payload bytes whose readings wait for their quorum, over all lanes. */
  readonly pendingBytes: () => number;
  /** False while the store is too far behind to take more. */
  /** Why no readings can be taken now: the reason that connections are closed with; `undefined` while they can. */
  readonly refusal: () => "store-behind" | "disk-full" | undefined;
  /** A stamp was given. */
  readonly stamped: (stampUs: number) => void;
  /** Readings of the partition below this instant are given up. */
  readonly horizonUs: (partition: Partition) => number;
  /** A device's metric was seen; registers asynchronously. */
  readonly seen: (device: DeviceId, profile: string, metric: string) => void;
}

/** Bytes of payloads that may wait for their quorum, each counted with what holding it costs; QoS 0 is dropped at half of it. */
export const pendingBytesMax = 48 << 20;
const heldMessageBytes = 128;
const routesMax = 50_000;
/** Longer topics are looked up each time (no deadband holds for them): routes are bounded in bytes too. */
const routeTopicMax = 512;
const seriesMax = 200_000;
const aheadMaxUs = 86_400_000_000;

export class Ingest {
  readonly deadLetters = new DeadLetters();
  readonly unmatched = new UnmatchedTopics();
  readonly #options: IngestOptions;
  readonly #decoder: PayloadDecoder;
  readonly #sessions = new Map<BrokerClient, ClientSession>();
  readonly #resends = new Resends();
  readonly #routes = new Map<string, Route | undefined>();
  #notes = 0;
  readonly #seriesNames: SeriesName[] = [];
  readonly #seriesByDevice = new Map<DeviceId, Map<string, number>>();

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#decoder = createDecoder();
  }

  nameOf(seriesRef: number): SeriesName {
    return this.#seriesNames[seriesRef] as SeriesName;
  }

  /** Of a series that this gateway has given to a lane: numbers are never taken back. */
  refOf(name: SeriesName): number {
    return defined(this.#seriesByDevice.get(name.device)?.get(name.metric), `the number of ${name.device} ${name.metric}`);
  }

  /** The number of a series, given now if it has none; -1 where this gateway keeps as many as it may. */
  obtainRef(name: SeriesName): number {
    let metrics = this.#seriesByDevice.get(name.device);
    if (metrics === undefined) {
      metrics = new Map();
      this.#seriesByDevice.set(name.device, metrics);
    }
    let ref = metrics.get(name.metric);
    if (ref === undefined) {
      if (this.#seriesNames.length >= seriesMax) return -1;
      ref = this.#seriesNames.push({ device: name.device, metric: name.metric }) - 1;
      metrics.set(name.metric, ref);
    }
    return ref;
  }

  /** The owner table changed: what is remembered of topics names the lanes of the new one. */
  lanesChanged(): void {
    for (const route of this.#routes.values())
      if (route !== undefined) route.lane = this.#options.laneOf(route.partition, this.#levelOf(route.match.profile));
  }

  #levelOf(profile: ProfileSettings): WriteLevel {
    return profile.write ?? this.#options.context.settings.replication.write;
  }

  clients(): number {
    return this.#sessions.size;
  }

  connected(client: BrokerClient): void {
    const session = new ClientSession(client);
    this.#sessions.set(client, session);
    this.#resends.connected(session);
  }

  disconnected(client: BrokerClient): void {
    const session = this.#sessions.get(client);
    if (session === undefined) return;
    session.end();
    this.#sessions.delete(client);
    this.#resends.disconnected(session);
  }

  /** Closes a connection with a counted reason: an MQTT 3.1.1 client resends only after a reconnect. */
  closeSession(session: ClientSession, reason: string): void {
    if (!session.isOpen()) return;
    session.end();
    this.#options.counters.closeConnection(reason);
    session.client.close();
  }

  publish(
    client: BrokerClient,
    topic: string,
    payload: Uint8Array,
    qos: 0 | 1 | 2,
    done: () => void,
    packetId: number,
    duplicate: boolean,
  ): void {
    const session = this.#sessions.get(client);
    if (session === undefined) return;
    this.#options.counters.messages++;
    let route = this.#routes.get(topic);
    if (route === undefined && !this.#routes.has(topic)) route = this.#addRoute(topic);
    if (route === undefined) {
      this.unmatched.count(topic, this.#options.context.clock.wallMs());
      this.#passOn(session, qos, done);
      return;
    }
    const pending = this.#options.pendingBytes();
    if (qos === 0 && pending >= pendingBytesMax / 2) {
      this.#options.counters.qos0Dropped++;
      done();
      return;
    }
    const refusal = pending >= pendingBytesMax ? "intake-full" : this.#options.refusal();
    if (refusal !== undefined) {
      if (qos === 0) this.#options.counters.qos0Dropped++;
      else this.closeSession(session, refusal);
      return;
    }
    const decoded = this.#decoder.decode(route.match, payload);
    const source = { topic, payload, session, packetId, duplicate };
    const appended = "reason" in decoded ? this.#reject(route, decoded, source) : this.#append(route, decoded, source);
    if (appended === 0 || qos === 0) {
      this.#passOn(session, qos, done);
    } else {
      route.lane.hold(route.partition, session, session.arrive(), done);
    }
    if (appended > 0) {
      const bytes = payload.length + heldMessageBytes;
      route.lane.took(bytes, this.#options.context.clock.monotonicMs());
      this.#options.filled(route.lane, bytes);
    }
  }

  /** Nothing to store: acknowledged and delivered, behind what the client sent before. */
  #passOn(session: ClientSession, qos: 0 | 1 | 2, done: () => void): void {
    if (qos === 0) done();
    else session.release(session.arrive(), done);
  }

  #append(route: Route, decoded: DecodedMessage, source: MessageSource): number {
    for (const reject of decoded.rejects) this.#deadLetter(route, source, reject.metric, reject.reason, reject.detail);
    if (decoded.count === 0) return 0;
    const wallMs = this.#options.siteClock.wallMs();
    const horizonUs = this.#options.horizonUs(route.partition);
    const timeUs = decoded.timeUs ?? this.#stamp(route, source, { wallMs, horizonUs });
    // The gateway's own stamps may run ahead of a clock that jumped back; a device's time is held against the clock, if there is one.
    const latestUs = wallMs >= plausibleFromMs ? wallMs * 1_000 + aheadMaxUs : Number.POSITIVE_INFINITY;
    if (decoded.timeUs !== undefined && (timeUs > latestUs || timeUs < 0)) {
      this.#deadLetter(
        route,
        source,
        undefined,
        "implausible-time",
        `${new Date(timeUs / 1_000).toISOString()} is ${timeUs < 0 ? "before 1970" : "more than a day ahead"}`,
      );
      return 0;
    }
    if (timeUs < horizonUs) {
      const detail = `${new Date(timeUs / 1_000).toISOString()} is before ${new Date(horizonUs / 1_000).toISOString()}: what is older is not kept (retention)`;
      this.#deadLetter(route, source, undefined, "below-horizon", detail);
      return 0;
    }
    let appended = 0;
    for (let i = 0; i < decoded.count; i++) {
      const metric = decoded.metrics[i] as number;
      const type = decoded.types[i] as ValueType;
      const number = decoded.numbers[i] as number;
      if (type === ValueType.Number && this.#withinDeadband(route, metric, number)) continue;
      const ref = this.#seriesRef(route, metric);
      if (ref < 0) {
        this.#deadLetter(
          route,
          source,
          route.match.profile.metrics[metric]?.name,
          "too-many-series",
          `this gateway keeps at most ${seriesMax} series under way`,
        );
        continue;
      }
      route.lane.builder.append(ref, timeUs, type, number, type === ValueType.Text ? decoded.texts[number] : undefined);
      appended++;
    }
    if (decoded.timeUs === undefined) route.lane.stamped(timeUs);
    return appended;
  }

  /** The gateway's time; of a message that is sent again, the one that it has already. */
  #stamp(route: Route, source: MessageSource, { wallMs, horizonUs }: { readonly wallMs: number; readonly horizonUs: number }): number {
    const { session, packetId, duplicate, payload } = source;
    const sent = packetId === 0 ? undefined : { packetId, duplicate, digest: digestOf(route, payload) };
    const earlierUs = sent === undefined ? undefined : this.#resends.stampOf(session, sent);
    // A clock that is far behind must not make stamps that retention has given up already.
    const stampUs =
      earlierUs !== undefined && earlierUs >= horizonUs
        ? earlierUs
        : this.#options.stamper.stamp(route.match.device, Math.max(wallMs, Math.ceil(horizonUs / 1_000)));
    if (sent !== undefined) this.#resends.remember(session, sent, stampUs);
    if (stampUs !== earlierUs) this.#options.stamped(stampUs);
    return stampUs;
  }

  #withinDeadband(route: Route, metric: number, value: number): boolean {
    const deadband = route.match.profile.metrics[metric]?.deadband;
    if (deadband === undefined) return false;
    // Not a number while nothing was acknowledged: no comparison holds. A value on its way may be another reference soon.
    const settled = route.pendingNotes[metric] === 0;
    if (settled && Math.abs(value - (route.lastAcknowledged[metric] as number)) < deadband) {
      this.#options.counters.suppressed++;
      return true;
    }
    route.pendingNotes[metric] = (route.pendingNotes[metric] as number) + 1;
    route.lane.noteDeadband({ route, metric, value, note: ++this.#notes });
    return false;
  }

  #seriesRef(route: Route, metric: number): number {
    const known = route.seriesRefs[metric] as number;
    if (known >= 0) return known;
    const { device, profile } = route.match;
    const name = profile.metrics[metric]?.name ?? "";
    const ref = this.obtainRef({ device, metric: name });
    if (ref < 0) return ref;
    // Once for each route: the series may have a number from a restore, which knows of no profile.
    this.#options.seen(device, profile.name, name);
    route.seriesRefs[metric] = ref;
    return ref;
  }

  #reject(route: Route, reject: PayloadReject, source: MessageSource): 0 {
    this.#deadLetter(route, source, undefined, reject.reason, reject.detail);
    return 0;
  }

  #deadLetter(route: Route, source: MessageSource, metric: string | undefined, reason: string, detail: string): void {
    const { clock, self } = this.#options.context;
    this.deadLetters.add({
      ms: clock.wallMs(),
      gateway: self,
      topic: source.topic,
      device: route.match.device,
      metric,
      reason,
      detail,
      payload: previewPayload(source.payload),
    });
  }

  #addRoute(topic: string): Route | undefined {
    // Forgetting all costs a look-up each; a flood of invented topics must not cost memory.
    if (this.#routes.size >= routesMax) this.#routes.clear();
    const found = this.#options.profiles.match(topic);
    const isKept = topic.length <= routeTopicMax;
    if (found === undefined) {
      if (isKept) this.#routes.set(topic, undefined);
      return undefined;
    }
    // The id outlives the route, in the names of series.
    const match = { profile: found.profile, device: deviceId(ownText(found.device)) };
    const partition = partitionOf(match.device, this.#options.context.ports.hash64);
    const metrics = match.profile.metrics.length;
    const route: Route = {
      match,
      partition,
      digest: crc32c(new TextEncoder().encode(topic)),
      lane: this.#options.laneOf(partition, this.#levelOf(match.profile)),
      seriesRefs: new Int32Array(metrics).fill(-1),
      lastAcknowledged: new Float64Array(metrics).fill(Number.NaN),
      acknowledgedNote: new Float64Array(metrics),
      pendingNotes: new Uint32Array(metrics),
    };
    if (isKept) this.#routes.set(topic, route);
    return route;
  }
}

interface MessageSource {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly session: ClientSession;
  readonly packetId: number;
  readonly duplicate: boolean;
}

/** 53 bits of topic and payload: a client's own mistakes are told apart by it, not an enemy's forgeries. */
function digestOf(route: Route, payload: Uint8Array): number {
  return crc32c(payload, route.digest) * 2 ** 21 + (payload.length % 2 ** 21);
}
