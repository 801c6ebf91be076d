/**
 * One gateway, from start to stop: opens its disk, meets its peers, joins or founds the cluster, and serves. Expected
 * failures of a start are values; a gateway that finds its own state impossible stops, and its peers carry on.
 */

import type { GatewaySettings, SiteSettings } from "../config/settings.ts";
import { Admission, type AdmissionEffect, type KnownStart, type Roll } from "../core/admission/admission.ts";
import { isAdmissionMessage } from "../core/admission/message-shape.ts";
import type { BootstrapCommand, SiteCommand } from "../core/site/commands.ts";
import { defined } from "../lib/assert.ts";
import { type ErrorCode, type Failure, failure, type Result, success } from "../lib/errors.ts";
import { type GatewayId, gatewayId, type Incarnation, sessionId } from "../lib/ids.ts";
import { Packing } from "../lib/packing.ts";
import { SeededRandom } from "../lib/random.ts";
import type { PeerAddress } from "../ports/transport.ts";
import { defaultTuning, type GatewayContext, type GatewayPorts, type GatewayTuning } from "./context.ts";
import { type DiskHooks, type OpenedDisk, openDisk } from "./disk.ts";
import { EventHub } from "./event-hub.ts";
import { mintBootstrap } from "./founding.ts";
import { FrameKind, sessionTagOf } from "./frames.ts";
import { type Identity, openIdentity, writeIdentity } from "./identity.ts";
import { Inbox } from "./inbox.ts";
import { MeshRouter } from "./mesh-router.ts";
import { foundLogs } from "./raft-disk.ts";
import { Requests } from "./requests.ts";
import type { GatewayRules } from "./rules.ts";
import { Serving } from "./serving.ts";

export interface GatewayOptions {
  readonly settings: SiteSettings;
  readonly self: GatewayId;
  readonly ports: GatewayPorts;
  readonly version: string;
  /** The gateway has stopped itself, for good: refused by its site, or its state was impossible. */
  readonly stopped: (why: Failure) => void;
  readonly rules?: GatewayRules;
  readonly tuning?: GatewayTuning;
}

export type Phase = "starting" | "waiting-for-peers" | "serving" | "refused" | "stopping";

/** What changes who belongs to the site, or what it asks of a version. */
const rollCommands: ReadonlySet<SiteCommand["t"]> = new Set([
  "gateway-add",
  "gateway-admit",
  "gateway-replace",
  "gateway-remove",
  "feature-level",
]);
const helloMs = 500;
const peersDocument = "peers";

export class Gateway {
  readonly options: GatewayOptions;
  readonly settings: SiteSettings;
  readonly self: GatewayId;
  readonly own: GatewaySettings;
  readonly startedMs: number;
  readonly #peerNotes = new Map<GatewayId, string>();
  /** Peers whose last word here was a refusal: worth more to an operator than that their link is down. */
  readonly #refusedPeers = new Set<GatewayId>();
  /** The folder that each admitted peer was admitted with. */
  readonly #peerFolders = new Map<GatewayId, Incarnation>();
  /** The newest admitted start of each peer, as the document `peers` has it. */
  readonly #peerStarts = new Map<GatewayId, KnownStart>();
  #phase: Phase = "starting";
  #identity: Identity | undefined;
  #context: GatewayContext | undefined;
  #disk: OpenedDisk | undefined;
  #router: MeshRouter | undefined;
  #requests: Requests | undefined;
  #admission: Admission | undefined;
  #serving: Serving | undefined;
  #events: EventHub | undefined;
  #refusal: Failure | undefined;
  #tickedMs = 0;
  /** The list that the transport was told last. */
  #linkedTo = "";

  constructor(options: GatewayOptions) {
    this.options = options;
    this.settings = options.settings;
    this.self = options.self;
    this.own = defined(
      options.settings.gateways.find((gateway) => gateway.id === options.self),
      `gateway ${options.self} in the settings`,
    );
    this.startedMs = options.ports.clock.monotonicMs();
  }

  phase(): Phase {
    return this.#phase;
  }

  serving(): Serving | undefined {
    return this.#serving;
  }

  identity(): Identity | undefined {
    return this.#identity;
  }

  router(): MeshRouter | undefined {
    return this.#router;
  }

  requests(): Requests | undefined {
    return this.#requests;
  }

  events(): EventHub | undefined {
    return this.#events;
  }

  context(): GatewayContext | undefined {
    return this.#context;
  }

  refusal(): Failure | undefined {
    return this.#refusal;
  }

  /** What is to be said of each peer that is not simply fine. */
  peerNotes(): ReadonlyMap<GatewayId, string> {
    return this.#peerNotes;
  }

  /** Gateways that a first start still waits for. */
  waitingFor(): readonly GatewayId[] {
    return this.#admission?.silent() ?? [];
  }

  /** Resolves when the gateway is on its way: serving, or waiting for its peers to found the site. */
  async start(): Promise<Result<void>> {
    const { ports, settings } = this.options;
    const packing = new Packing();
    const identity = await openIdentity({
      documents: ports.documents,
      entropy: ports.entropy,
      packing,
      site: settings.site,
      gateway: this.self,
    });
    if (!identity.ok) return identity;
    this.#identity = identity.value;
    const context = this.#makeContext(identity.value, packing);
    this.#context = context;
    const peers = await ports.documents.read(peersDocument);
    if (!peers.ok) return peers;
    for (const [peer, start] of Object.entries((peers.value ?? {}) as Record<string, KnownStart>))
      this.#peerStarts.set(gatewayId(peer), start);
    const disk = await openDisk(context, identity.value, this.#diskHooks());
    if (!disk.ok) return disk;
    this.#disk = disk.value;
    const router = new MeshRouter(context);
    this.#router = router;
    this.#requests = new Requests(context, router, { openMax: 4_096, servedMax: 256 });
    this.#events = new EventHub(context, router);
    const begun = identity.value.bootstrap === undefined ? success(undefined) : await this.#beginAsMember(identity.value.bootstrap);
    if (!begun.ok) return begun;
    const linked = await this.#startMesh(context, router);
    if (!linked.ok) return linked;
    this.#tick();
    return success(undefined);
  }

  async stop(): Promise<void> {
    if (this.#phase === "stopping") return;
    this.#phase = "stopping";
    const { ports } = this.options;
    await ports.broker.stop();
    await this.#serving?.stop();
    await ports.transport.stop();
    await this.#disk?.seriesStore.stop();
    this.#context?.inbox.close();
    await this.#disk?.readingsLog.log.close();
    await (this.#serving?.hints.close() ?? Promise.all([this.#disk?.hints.log.close(), this.#disk?.held.log.close()]));
    await this.#disk?.raftLog.close();
    await this.#disk?.store.close();
  }

  #makeContext(identity: Identity, packing: Packing): GatewayContext {
    const { ports, settings } = this.options;
    const session = sessionId(ports.entropy.hex(16));
    const inbox = new Inbox((cause) =>
      this.#giveUp(
        "internal",
        `the gateway found its own state impossible and stops: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`,
      ),
    );
    return {
      self: this.self,
      // Of a gateway that is to join the site says it: `#beginAsMember`.
      slot: slotOf(identity, identity.bootstrap, this.self) ?? 0,
      settings,
      ports,
      clock: ports.clock,
      diagnostics: ports.diagnostics,
      inbox,
      packing,
      random: new SeededRandom(Number.parseInt(ports.entropy.hex(4), 16)),
      incarnation: identity.incarnation,
      startCount: identity.startCount,
      session,
      sessionTag: sessionTagOf(session),
      tuning: this.options.tuning ?? defaultTuning,
    };
  }

  /** What the disk needs of parts that are built on it. */
  #diskHooks(): DiskHooks {
    return {
      reservedUs: () => this.#serving?.stamper.reservedUs() ?? 0,
      carryOver: () => this.#serving?.jobs.attempts.carryOver() ?? true,
    };
  }

  async #startMesh(context: GatewayContext, router: MeshRouter): Promise<Result<void>> {
    const { ports, settings } = this.options;
    const identity = defined(this.#identity, "the identity");
    const admission = new Admission({
      self: this.self,
      site: settings.site,
      incarnation: identity.incarnation,
      startCount: identity.startCount,
      session: context.session,
      listDigest: settings.listDigest,
      settingsDigest: settings.digest,
      gateways: settings.gateways.map((gateway) => gateway.id),
      bootstrap: identity.bootstrap,
      rememberedStarts: this.#peerStarts,
      roll: () => this.#roll(),
      isSilent: (peer) => router.isSilent(peer),
      featureMax: context.tuning.featureMax,
      mesh: { host: this.own.host, port: this.own.listen.mesh.port },
      mint: (incarnations) => this.#mint(incarnations),
    });
    this.#admission = admission;
    if (identity.bootstrap === undefined) this.#phase = "waiting-for-peers";
    router.onStranger((peer) => admission.strangeFrame(peer));
    router.handle(FrameKind.Admission, (from, body) => {
      const message = context.packing.unpack(body);
      if (message.ok && isAdmissionMessage(message.value)) {
        const received = message.value;
        this.#admit((effects) => admission.received(from, received, effects));
      }
    });
    return ports.transport.start({
      receive: (from, _channel, frame) => context.inbox.post(() => router.receive(from, frame)),
      up: (peer) => context.inbox.post(() => this.#linkUp(peer)),
      down: (peer, reason) => context.inbox.post(() => this.#linkDown(peer, reason)),
    });
  }

  #linkUp(peer: GatewayId): void {
    if (!this.#refusedPeers.has(peer)) this.#peerNotes.delete(peer);
    this.options.ports.diagnostics.info("link-up", { peer });
    this.#admit((effects) => this.#admission?.linkUp(peer, effects));
    if (this.#router?.isAdmitted(peer) === true) {
      this.#serving?.peerAdmitted(peer);
      this.#events?.emit({ type: "membership", gateway: peer, up: true, reason: "link up" });
    }
  }

  #linkDown(peer: GatewayId, reason: string): void {
    if (!this.#refusedPeers.has(peer)) this.#peerNotes.set(peer, `${peer} is not connected: ${reason}`);
    this.options.ports.diagnostics.warn("link-down", { peer, reason });
    this.#admission?.linkDown(peer);
    this.#requests?.peerDown(peer);
    this.#serving?.peerDown(peer);
    this.#events?.emit({ type: "membership", gateway: peer, up: false, reason });
  }

  #tick(): void {
    if (this.#context?.inbox.closed() !== false) return;
    const { transport, clock } = this.options.ports;
    const linked = this.#peers()
      .map((peer) => peer.id)
      .filter((id) => transport.isUp(id));
    this.#context.inbox.post(() => {
      this.#admit((effects) => this.#admission?.tick(linked, effects));
      this.#keepInTouch();
    });
    clock.schedule(helloMs, () => this.#tick());
  }

  /** A frozen peer is found out long before its link breaks, so that no question waits for it. */
  #keepInTouch(): void {
    const nowMs = this.options.ports.clock.monotonicMs();
    if (nowMs - this.#tickedMs > helloMs * 3) this.#router?.forgiveSilence();
    this.#tickedMs = nowMs;
    for (const peer of this.#router?.keepInTouch() ?? []) this.#requests?.peerDown(peer);
  }

  #admit(step: (effects: AdmissionEffect[]) => void): void {
    const effects: AdmissionEffect[] = [];
    step(effects);
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: AdmissionEffect): void {
    const { diagnostics } = this.options.ports;
    switch (effect.type) {
      case "send":
        this.#router?.send(effect.to, "raft", FrameKind.Admission, defined(this.#context, "the context").packing.pack(effect.message));
        break;
      case "join":
        this.#join(effect).catch((cause: unknown) =>
          this.#giveUp("internal", `joining the site failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`),
        );
        break;
      case "admit-folder":
        this.#serving?.membership.admitFolder(effect.gateway, effect.incarnation);
        break;
      case "admitted":
        this.#remember(effect).catch((cause: unknown) =>
          this.#giveUp("internal", `remembering a peer failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`),
        );
        break;
      case "peer-refused":
        diagnostics.error("peer-refused", { peer: effect.peer, code: effect.code, explanation: effect.explanation });
        this.#peerNotes.set(effect.peer, effect.explanation);
        this.#refusedPeers.add(effect.peer);
        if (effect.expelled) this.#expel(effect.peer);
        break;
      case "stop":
        this.#giveUp("identity-refused", effect.explanation);
        break;
      case "warning":
        diagnostics.warn("peer-warning", { peer: effect.peer, text: effect.text });
        this.#peerNotes.set(effect.peer, effect.text);
        break;
    }
  }

  #expel(peer: GatewayId): void {
    this.#serving?.peerDown(peer);
    this.#router?.admit(peer, undefined);
    this.#peerFolders.delete(peer);
    this.#relink();
  }

  /** The start of a peer goes to disk before anything that it says counts. */
  async #remember(admitted: AdmissionEffect & { readonly type: "admitted" }): Promise<void> {
    const { peer, startCount, session, incarnation } = admitted;
    const { diagnostics, documents } = this.options.ports;
    const context = defined(this.#context, "the context");
    this.#peerStarts.set(peer, { startCount, session, incarnation });
    const written = await documents.write(peersDocument, Object.fromEntries(this.#peerStarts));
    context.inbox.post(() => {
      // Another start may have taken its place while the disk was busy.
      if (this.#admission?.admittedSession(peer) !== session) return;
      if (!written.ok) {
        diagnostics.warn("peer-not-remembered", { peer, why: written.message, next: "tried again" });
        context.clock.schedule(helloMs, () => context.inbox.post(() => this.#carryOut(admitted)));
        return;
      }
      diagnostics.info("peer-admitted", { peer });
      this.#peerNotes.delete(peer);
      this.#refusedPeers.delete(peer);
      this.#peerFolders.set(peer, incarnation);
      this.#router?.admit(peer, sessionTagOf(session));
      this.#relink();
      this.#serving?.peerAdmitted(peer);
      this.#events?.emit({ type: "membership", gateway: peer, up: true, reason: "admitted" });
    });
  }

  #mint(incarnations: ReadonlyMap<GatewayId, Incarnation>): BootstrapCommand {
    const { ports, settings } = this.options;
    const own = defined(this.#context, "the context").tuning.featureMax;
    const peers = settings.gateways.filter(({ id }) => id !== this.self).map(({ id }) => this.#admission?.featureMaxOf(id) ?? 1);
    const featureLevel = Math.min(own, ...peers);
    return mintBootstrap({ settings, incarnations, featureLevel, cluster: ports.entropy.hex(16), hash64: ports.hash64 });
  }

  /** First the word that the site is known, then the first records, then the word that they are there. */
  async #join({ bootstrap, admitted }: AdmissionEffect & { readonly type: "join" }): Promise<void> {
    const context = defined(this.#context, "the context");
    this.options.ports.diagnostics.info(admitted === undefined ? "site-founded" : "site-joined", {
      cluster: bootstrap.clusterId,
      gateways: bootstrap.gateways.map((gateway) => gateway.id),
    });
    const identity: Identity = {
      ...defined(this.#identity, "the identity"),
      stage: "joining",
      bootstrap,
      ...(admitted === undefined ? {} : { slot: admitted.slot }),
    };
    const written = await writeIdentity({ documents: this.options.ports.documents, packing: context.packing }, identity);
    if (!written.ok) return this.#giveUp(written.code, written.message);
    this.#identity = identity;
    const begun = await this.#beginAsMember(bootstrap);
    if (!begun.ok) return this.#giveUp(begun.code, begun.message);
    context.inbox.post(() => this.#admit((effects) => this.#admission?.joined(bootstrap, effects)));
  }

  async #beginAsMember(bootstrap: BootstrapCommand): Promise<Result<void>> {
    const { ports, rules } = this.options;
    const disk = defined(this.#disk, "the disk");
    let identity = defined(this.#identity, "the identity");
    // What a process stamps before its next start ends in the slot that the site gave it, too.
    const slot = defined(slotOf(identity, bootstrap, this.self), "the slot");
    const context: GatewayContext = { ...defined(this.#context, "the context"), slot };
    this.#context = context;
    let { restoredRaft } = disk;
    if (identity.stage === "joining") {
      const founder = bootstrap.gateways.some((gateway) => gateway.incarnation === context.incarnation);
      restoredRaft = await foundLogs(context, { ...disk, bootstrap, founder });
      identity = { ...identity, stage: "member" };
      const written = await writeIdentity({ documents: ports.documents, packing: context.packing }, identity);
      if (!written.ok) return written;
      this.#identity = identity;
    }
    const serving = await Serving.begin({
      context,
      router: defined(this.#router, "the router"),
      requests: defined(this.#requests, "the requests"),
      events: defined(this.#events, "the events"),
      bootstrap,
      raftLog: disk.raftLog,
      restoredRaft,
      restoredState: disk.restoredState,
      readingsLog: disk.readingsLog,
      hints: disk.hints,
      held: disk.held,
      store: disk.store,
      seriesStore: disk.seriesStore,
      restoredAttempts: disk.restoredAttempts,
      stampFloorUs: disk.stampFloorUs,
      rules: rules ?? {},
      applied: (command) => this.#applied(command),
      restored: () => this.#rollChanged(),
      incarnationOf: (peer) => this.#peerFolders.get(peer),
      featureMaxOf: (peer) => this.#admission?.featureMaxOf(peer),
    });
    if (!serving.ok) return serving;
    this.#serving = serving.value;
    // What the snapshot and the replayed log say of the members, with their addresses, was said before there was anybody to hear it.
    this.#rollChanged();
    // They may also have said that this folder, or this start of it, is not wanted.
    if (this.#refusal !== undefined) return this.#refusal;
    serving.value.ringGate.whenOpen(() => {
      this.#listen(serving.value).then(
        (listening) => {
          if (!listening.ok) this.#giveUp(listening.code, listening.message);
        },
        (cause: unknown) => this.#giveUp("internal", cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)),
      );
    });
    return success(undefined);
  }

  /** Devices are let in once this gateway knows who owns what. */
  async #listen(serving: Serving): Promise<Result<void>> {
    const { ports } = this.options;
    await serving.timeConfirmed();
    if (this.#isEnding()) return success(undefined);
    const { ingest } = serving;
    const listening = await ports.broker.start({
      authenticate: (credentials) => this.#mayConnect(credentials.username, credentials.password),
      connected: (client) => ingest.connected(client),
      disconnected: (client) => ingest.disconnected(client),
      publish: (client, topic, payload, qos, done, packetId, duplicate) =>
        ingest.publish(client, topic, payload, qos, done, packetId, duplicate),
      rejected: (reason, detail) => {
        serving.counters.closeConnection(reason);
        ports.diagnostics.debug("client-rejected", { reason, detail });
      },
    });
    if (!listening.ok) return listening;
    // The gateway may have been stopped while the port was opened.
    if (this.#isEnding()) await ports.broker.stop();
    else this.#phase = "serving";
    return success(undefined);
  }

  #isEnding(): boolean {
    return this.#refusal !== undefined || this.#phase === "stopping";
  }

  #mayConnect(username: string | undefined, password: string | undefined): boolean {
    const { anonymous, users } = this.settings.mqtt;
    if (username === undefined) return anonymous;
    const user = users.find((candidate) => candidate.name === username);
    // With users configured a wrong name or password is never anonymous.
    return user === undefined ? anonymous && users.length === 0 : user.password === password;
  }

  #applied(command: SiteCommand | undefined): void {
    if (command === undefined) return;
    if (command.t === "gateway-started") {
      if (command.gateway !== this.self) this.#admit((effects) => this.#admission?.rollChanged(effects));
      else this.#checkOwnStart(command);
    } else if (rollCommands.has(command.t)) {
      this.#rollChanged();
    }
  }

  /** A later start of this folder than this one means that this one is a copy. */
  #checkOwnStart(command: SiteCommand & { readonly t: "gateway-started" }): void {
    const context = defined(this.#context, "the context");
    // Older versions do not say whose start it is; those are of the founding's folder.
    const founder = this.#identity?.bootstrap?.gateways.some((gateway) => gateway.incarnation === context.incarnation) === true;
    if (command.incarnation === undefined ? !founder : command.incarnation !== context.incarnation) return;
    const { startCount, session } = context;
    if (command.startCount < startCount || (command.startCount === startCount && command.session === session)) return;
    this.#giveUp(
      "identity-refused",
      `the site has seen a later start of ${this.self}: this data folder is an older copy, or another process runs with a copy of it. Start ${this.self} with its newest data folder, once`,
    );
  }

  /** Who belongs to the site, as applied here; `undefined` while nothing is. */
  #roll(): Roll | undefined {
    const state = this.#serving?.state;
    if (state === undefined || state.members().size === 0) return undefined;
    return {
      appliedIndex: state.appliedIndex(),
      featureLevel: state.featureLevel(),
      memberOf: (gateway) => state.members().get(gateway),
      isRetired: (incarnation) => state.retired().has(incarnation),
      startOf: (gateway) => state.startOf(gateway),
    };
  }

  #rollChanged(): void {
    const context = defined(this.#context, "the context");
    const state = this.#serving?.state;
    if (state?.retired().has(context.incarnation) === true) {
      const removed = !state.members().has(this.self);
      this.#giveUp(
        "identity-refused",
        removed
          ? `${this.self} was removed from site ${this.settings.site}: its data folder is of no use there any more`
          : `the data folder of ${this.self} was given up by "fogbank gateway replace": start ${this.self} again with an empty one`,
      );
      return;
    }
    this.#relink();
    this.#admit((effects) => this.#admission?.rollChanged(effects));
  }

  #relink(): void {
    const peers = this.#peers();
    const text = JSON.stringify(peers);
    if (text === this.#linkedTo) return;
    this.#linkedTo = text;
    this.options.ports.transport.setPeers(peers);
  }

  /**
   * Members by the site's word, and who else stands in the YAML: a gateway that left has to be told so. Where both give an
   * address the YAML's counts, because that is where an operator writes a new one. A peer's own word counts where nobody else's does.
   */
  #peers(): readonly PeerAddress[] {
    const peers = new Map<GatewayId, PeerAddress>();
    for (const [id, { host, port }] of this.#admission?.introduced() ?? []) peers.set(id, { id, host, port });
    for (const { id, address } of this.#serving?.state.members().values() ?? [])
      if (address !== undefined) peers.set(id, { id, host: address.host, port: address.mesh });
    for (const { id, host, listen } of this.settings.gateways) peers.set(id, { id, host, port: listen.mesh.port });
    peers.delete(this.self);
    return [...peers.values()];
  }

  #giveUp(code: ErrorCode, message: string): void {
    if (this.#refusal !== undefined || this.#phase === "stopping") return;
    this.#refusal = failure(code, message);
    this.#phase = "refused";
    this.options.ports.diagnostics.error("gateway-stops", { code, message });
    this.#context?.inbox.close();
    this.options.stopped(this.#refusal);
  }
}

/** A later folder than the founders' was told; theirs stand in the founding command. */
function slotOf(identity: Identity, bootstrap: BootstrapCommand | undefined, self: GatewayId): number | undefined {
  return identity.slot ?? bootstrap?.gateways.find((gateway) => gateway.id === self)?.slot;
}
