/**
 * Who may speak for which gateway. Decides, from the hellos of the peers, when a new site may be founded (only when all
 * gateways of the list report empty data folders and the same list), whom this gateway listens to, and whether this
 * gateway itself has been told to go. A wiped, older or foreign data folder is refused with an explanation: its owner
 * would otherwise vote and acknowledge without the memory of what it had promised.
 */

import type { ClusterId, GatewayId, Incarnation, SessionId } from "../../lib/ids.ts";
import type { BootstrapCommand } from "../site/commands.ts";
import {
  type AdmissionMessage,
  type Hello,
  type MeshAddress,
  protocolRange,
  type Refusal,
  type RefusalCode,
  type Welcome,
} from "./hello.ts";

export interface AdmissionOptions {
  readonly self: GatewayId;
  readonly site: string;
  readonly incarnation: Incarnation;
  readonly startCount: number;
  readonly session: SessionId;
  readonly listDigest: string;
  readonly settingsDigest: string;
  /** All gateways of the YAML's list, this one included, in its order. */
  readonly gateways: readonly GatewayId[];
  /** Set when the data folder is a member of a cluster already. */
  readonly bootstrap: BootstrapCommand | undefined;
  /** Who belongs to the site, as this gateway has applied it; `undefined` until it has applied anything. */
  readonly roll: () => Roll | undefined;
  /** The newest start of each peer that this gateway has admitted, kept on its own disk. */
  readonly rememberedStarts?: ReadonlyMap<GatewayId, KnownStart>;
  /** Whether the admitted session of a peer has given no sign of life for longer than a live process ever does. */
  readonly isSilent: (peer: GatewayId) => boolean;
  /** The highest feature level that this version can apply. */
  readonly featureMax: number;
  /** Where this gateway's mesh is reached. */
  readonly mesh?: MeshAddress;
  /** Makes the first entry of a new cluster from the incarnations that were reported. */
  readonly mint: (incarnations: ReadonlyMap<GatewayId, Incarnation>) => BootstrapCommand;
}

/** A process start of a gateway: the how many-th of its data folder, and its random id. */
export interface KnownStart {
  readonly startCount: number;
  readonly session: SessionId;
  /** Of the data folder; an older version did not note it. */
  readonly incarnation?: Incarnation | undefined;
}

/** The members of the site. */
export interface Roll {
  /** As of this log index. */
  readonly appliedIndex: number;
  readonly featureLevel: number;
  readonly memberOf: (gateway: GatewayId) => RollMember | undefined;
  readonly isRetired: (incarnation: Incarnation) => boolean;
  /** The start that is registered for a gateway, if any. */
  readonly startOf: (gateway: GatewayId) => KnownStart | undefined;
}

export interface RollMember {
  /** `undefined`: whichever empty folder reports next is to be admitted. */
  readonly incarnation: Incarnation | undefined;
  readonly slot: number;
}

export type AdmissionEffect =
  | { readonly type: "send"; readonly to: GatewayId; readonly message: AdmissionMessage }
  /** Make this bootstrap durable here, then say `joined`. */
  | { readonly type: "join"; readonly bootstrap: BootstrapCommand; readonly admitted: Welcome["admitted"] }
  /** Have the site agree that this folder is the gateway's from now on: an expected gateway has reported. Repeated until it has. */
  | { readonly type: "admit-folder"; readonly gateway: GatewayId; readonly incarnation: Incarnation }
  /**
   * Remember this start on disk; from then on frames of this session of the peer count. Whoever took a vote or an
   * acknowledgement of a start knows for ever that there was one, so that an older copy of the folder is not taken for it.
   */
  | {
      readonly type: "admitted";
      readonly peer: GatewayId;
      readonly startCount: number;
      readonly session: SessionId;
      readonly incarnation: Incarnation;
    }
  /** `expelled`: this very session was admitted until now. Otherwise an admitted session of the peer stays what it is. */
  | {
      readonly type: "peer-refused";
      readonly peer: GatewayId;
      readonly code: RefusalCode;
      readonly explanation: string;
      readonly expelled: boolean;
    }
  /** This gateway must stop: the site does not accept its data folder. */
  | { readonly type: "stop"; readonly explanation: string }
  | { readonly type: "warning"; readonly peer: GatewayId; readonly text: string };

/** Hellos without an answer after which there is something to say. */
const unansweredMax = 10;

export class Admission {
  readonly #options: AdmissionOptions;
  #bootstrap: BootstrapCommand | undefined;
  #joining = false;
  readonly #hellos = new Map<GatewayId, Hello>();
  readonly #admitted = new Map<GatewayId, SessionId>();
  /** What each admitted peer said of itself when it was admitted. */
  readonly #introduced = new Map<GatewayId, { readonly mesh: MeshAddress; readonly appliedIndex: number }>();
  /** Peers by what they refuse this gateway for, where a single one may be mistaken or behind. */
  readonly #refusers = new Map<RefusalCode, Set<GatewayId>>();
  readonly #warned = new Map<GatewayId, string>();
  readonly #newestStarts: Map<GatewayId, KnownStart>;
  /** Peers whose link has stood without a break since their session was admitted: that process is still there. */
  readonly #steady = new Set<GatewayId>();
  readonly #linked = new Set<GatewayId>();
  /** Peers that send under another session than the one that is known: a restart of which no hello came through. */
  readonly #doubted = new Set<GatewayId>();
  /** Ticks for which a linked peer has said nothing. */
  readonly #unanswered = new Map<GatewayId, number>();
  /** Ids under which two processes reported while the site waits for its founding. */
  readonly #contested = new Set<GatewayId>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#bootstrap = options.bootstrap;
    this.#newestStarts = new Map(options.rememberedStarts);
  }

  isMember(): boolean {
    return this.#bootstrap !== undefined;
  }

  admittedSession(peer: GatewayId): SessionId | undefined {
    return this.#admitted.get(peer);
  }

  /** Gateways of the list that have not reported yet; what a first start waits for. */
  silent(): GatewayId[] {
    return this.#options.gateways.filter((id) => id !== this.#options.self && !this.#hellos.has(id));
  }

  linkUp(peer: GatewayId, effects: AdmissionEffect[]): void {
    this.#linked.add(peer);
    this.#greet(peer, effects);
  }

  #greet(peer: GatewayId, effects: AdmissionEffect[]): void {
    effects.push({ type: "send", to: peer, message: { t: "hello", hello: this.#hello(true) } });
  }

  /** A frame came under a session that was not admitted: it is asked who it is, with the next tick. */
  strangeFrame(peer: GatewayId): void {
    this.#doubted.add(peer);
  }

  linkDown(peer: GatewayId): void {
    // A hello of a link that is gone must not found a site.
    this.#hellos.delete(peer);
    this.#unanswered.delete(peer);
    this.#steady.delete(peer);
    this.#linked.delete(peer);
    // Whoever reports next may be the one that was meant to: the other may have been stopped.
    this.#contested.delete(peer);
  }

  /** Repeats the hello to peers that have not been admitted: frames get lost. Also founds a site of one. */
  tick(linked: readonly GatewayId[], effects: AdmissionEffect[]): void {
    for (const peer of linked) {
      // An answer that turned the peer away may have been lost, so that it is asked again as long as it is not admitted as it is.
      const hello = this.#hellos.get(peer);
      if (hello === undefined || this.#admitted.get(peer) !== hello.session || this.#doubted.has(peer)) this.#greet(peer, effects);
      if (!this.#hellos.has(peer)) this.#countUnanswered(peer, effects);
    }
    this.#foundIfPossible(effects);
  }

  received(from: GatewayId, message: AdmissionMessage, effects: AdmissionEffect[]): void {
    switch (message.t) {
      case "hello":
        this.#helloReceived(from, message.hello, effects);
        break;
      case "welcome":
        this.#welcomed(message.welcome, effects);
        break;
      case "refusal":
        this.#refused(from, message.refusal, effects);
        break;
    }
  }

  /** The bootstrap of the last `join` effect is durable: this gateway is a member. */
  joined(bootstrap: BootstrapCommand, effects: AdmissionEffect[]): void {
    this.#bootstrap = bootstrap;
    this.#joining = false;
    for (const [peer, hello] of this.#hellos) {
      effects.push({ type: "send", to: peer, message: { t: "hello", hello: this.#hello(true) } });
      this.#judge(peer, hello, effects);
    }
  }

  /** The replicated state moved on: a session that was admitted may turn out to be an older copy, or a folder that was given up. */
  rollChanged(effects: AdmissionEffect[]): void {
    for (const [peer, hello] of this.#hellos) if (this.#admitted.get(peer) === hello.session) this.#judge(peer, hello, effects);
  }

  /**
   * Where admitted peers say that they are reached. One that came while this gateway was away may lead, and has to be called for
   * what is missing here (its snapshot); but no longer once this gateway knows as much as it did, and not of it.
   */
  introduced(): [GatewayId, MeshAddress][] {
    const roll = this.#options.roll();
    return [...this.#introduced].flatMap(([peer, { mesh, appliedIndex }]): [GatewayId, MeshAddress][] =>
      roll === undefined || roll.memberOf(peer) !== undefined || roll.appliedIndex < appliedIndex ? [[peer, mesh]] : [],
    );
  }

  /** The highest feature level of a peer's version, as it last said. */
  featureMaxOf(peer: GatewayId): number | undefined {
    const hello = this.#hellos.get(peer);
    return hello === undefined ? undefined : (hello.featureMax ?? 1);
  }

  /** Answers go to the address that the peer knows for this gateway: to another process, if this one has another address. */
  #countUnanswered(peer: GatewayId, effects: AdmissionEffect[]): void {
    const { self } = this.#options;
    const ticks = (this.#unanswered.get(peer) ?? 0) + 1;
    this.#unanswered.set(peer, ticks);
    if (ticks < unansweredMax) return;
    this.#warn(
      peer,
      `${peer} is reached and does not answer: its answers go to the mesh address of ${self} in its own site.yaml. ` +
        `Either that is not the address of this process, or another process runs as ${self}: stop one of them`,
      effects,
    );
  }

  #hello(reply: boolean): Hello {
    const { site, self, incarnation, startCount, session, listDigest, settingsDigest } = this.#options;
    return {
      protocolMin: protocolRange.min,
      protocolMax: protocolRange.max,
      site,
      from: self,
      clusterId: this.#bootstrap?.clusterId,
      incarnation,
      startCount,
      session,
      listDigest,
      settingsDigest,
      reply,
      featureMax: this.#options.featureMax,
      appliedIndex: this.#options.roll()?.appliedIndex ?? 0,
      ...(this.#options.mesh === undefined ? {} : { mesh: this.#options.mesh }),
    };
  }

  #helloReceived(from: GatewayId, hello: Hello, effects: AdmissionEffect[]): void {
    // The link is authenticated, what is said over it is not: nobody speaks for another gateway.
    if (hello.from !== from) {
      this.#warn(from, `${from} says that it is ${hello.from}: compare the ids and mesh addresses in the site.yaml of both`, effects);
      return;
    }
    const before = this.#hellos.get(from);
    if (
      this.#bootstrap === undefined &&
      before !== undefined &&
      before.session !== hello.session &&
      hello.startCount <= before.startCount
    ) {
      this.#contested.add(from);
      this.#warn(
        from,
        `two processes say that they are ${from}: give each gateway its own id and data folder, and stop one of them`,
        effects,
      );
    }
    this.#hellos.set(from, hello);
    this.#doubted.delete(from);
    this.#unanswered.delete(from);
    if (hello.reply) effects.push({ type: "send", to: from, message: { t: "hello", hello: this.#hello(false) } });
    if (hello.protocolMin > protocolRange.max || hello.protocolMax < protocolRange.min) {
      this.#refuse(from, hello, "protocol-unsupported", this.#protocolText(from, hello), effects);
      return;
    }
    if (hello.settingsDigest !== this.#options.settingsDigest) {
      this.#warn(from, `${from} runs with other settings than ${this.#options.self}: compare their site.yaml and devices folder`, effects);
    }
    if (this.#bootstrap !== undefined) this.#judge(from, hello, effects);
    else this.#foundIfPossible(effects);
  }

  #judge(from: GatewayId, hello: Hello, effects: AdmissionEffect[]): void {
    const bootstrap = this.#bootstrap;
    if (bootstrap === undefined) return;
    const member = this.#memberOf(from, bootstrap);
    const verdict = verdictOn(hello, {
      site: bootstrap.site,
      clusterId: bootstrap.clusterId,
      member,
      start: this.#newestStart(from, hello.incarnation),
      retired: this.#options.roll()?.isRetired(hello.incarnation) === true,
      featureLevel: this.#options.roll()?.featureLevel ?? 1,
      appliedIndex: this.#options.roll()?.appliedIndex ?? 0,
    });
    const admitted = this.#admitted.get(from);
    if (verdict.kind === "refuse") {
      this.#refuse(from, hello, verdict.code, verdict.explanation, effects);
    } else if (admitted !== undefined && admitted !== hello.session && this.#steady.has(from) && !this.#options.isSilent(from)) {
      // A restart breaks the link first. This is a second process on a copy of the folder, and the first is alive: one that is not
      // may have been admitted by a late hello, which came over the link of the process behind it.
      this.#warn(
        from,
        `another process with a copy of the data folder of ${from} says that it is ${from}: stop it; the first one stays`,
        effects,
      );
    } else if (verdict.kind === "welcome") {
      const { session } = hello;
      const founder = bootstrap.gateways.some((gateway) => gateway.id === from && gateway.incarnation === hello.incarnation);
      const admitted = { incarnation: hello.incarnation, slot: member?.slot ?? 0 };
      const welcome = founder ? { session, bootstrap } : { session, bootstrap, admitted };
      effects.push({ type: "send", to: from, message: { t: "welcome", welcome } });
    } else if (verdict.kind === "expected") {
      effects.push({ type: "admit-folder", gateway: from, incarnation: hello.incarnation });
    } else if (this.#admitted.get(from) !== hello.session) {
      this.#admitted.set(from, hello.session);
      const { startCount, session, incarnation } = hello;
      this.#newestStarts.set(from, { startCount, session, incarnation });
      if (hello.mesh !== undefined) this.#introduced.set(from, { mesh: hello.mesh, appliedIndex: hello.appliedIndex ?? 0 });
      if (this.#linked.has(from)) this.#steady.add(from);
      this.#warned.delete(from);
      effects.push({ type: "admitted", peer: from, startCount, session, incarnation });
    }
  }

  /** Before anything is applied here the founding is all that is known. */
  #memberOf(gateway: GatewayId, bootstrap: BootstrapCommand): RollMember | undefined {
    const roll = this.#options.roll();
    if (roll !== undefined) return roll.memberOf(gateway);
    const founder = bootstrap.gateways.find(({ id }) => id === gateway);
    return founder && { incarnation: founder.incarnation, slot: founder.slot };
  }

  /** Registered on the site or remembered here, whichever is newer; of this folder of the gateway, not of one before it. */
  #newestStart(peer: GatewayId, incarnation: Incarnation): KnownStart | undefined {
    const ofFolder = (start: KnownStart | undefined) =>
      start?.incarnation === undefined || start.incarnation === incarnation ? start : undefined;
    const registered = ofFolder(this.#options.roll()?.startOf(peer));
    const remembered = ofFolder(this.#newestStarts.get(peer));
    if (registered === undefined || remembered === undefined) return registered ?? remembered;
    return registered.startCount >= remembered.startCount ? registered : remembered;
  }

  #refuse(from: GatewayId, hello: Hello, code: RefusalCode, reason: string, effects: AdmissionEffect[]): void {
    const admitted = this.#admitted.get(from);
    const expelled = admitted === hello.session;
    // A second process under the same id must not put out the one that belongs here.
    const explanation =
      admitted === undefined || expelled
        ? reason
        : `${reason}. If ${from} is running already, this is a second process under its id: stop it`;
    if (expelled) {
      this.#admitted.delete(from);
      this.#introduced.delete(from);
    }
    effects.push({ type: "send", to: from, message: { t: "refusal", refusal: { code, session: hello.session, explanation } } });
    if (expelled || this.#warned.get(from) !== explanation) {
      this.#warned.set(from, explanation);
      effects.push({ type: "peer-refused", peer: from, code, explanation, expelled });
    }
  }

  #welcomed(welcome: Welcome, effects: AdmissionEffect[]): void {
    const { bootstrap, admitted } = welcome;
    if (this.#bootstrap !== undefined || this.#joining || welcome.session !== this.#options.session) return;
    if (bootstrap.site !== this.#options.site) return;
    const founder = bootstrap.gateways.find((gateway) => gateway.id === this.#options.self);
    const own = this.#options.incarnation;
    if (founder?.incarnation !== own && admitted?.incarnation !== own) return;
    this.#joining = true;
    effects.push({ type: "join", bootstrap, admitted: founder?.incarnation === own ? undefined : admitted });
  }

  #refused(from: GatewayId, refusal: Refusal, effects: AdmissionEffect[]): void {
    if (refusal.session !== this.#options.session) return;
    const refusers = this.#refusers.get(refusal.code) ?? new Set();
    this.#refusers.set(refusal.code, refusers.add(from));
    if (this.#isDecisive(refusal.code, refusers.size)) effects.push({ type: "stop", explanation: refusal.explanation });
    else this.#warn(from, refusal.explanation, effects);
  }

  #isDecisive(code: RefusalCode, refusers: number): boolean {
    const gateways = this.#options.gateways.length;
    switch (code) {
      // Of two clusters under one name neither side can know alone which is the stray one: the majority of the list decides.
      case "cluster-foreign":
        return refusers >= Math.floor(gateways / 2) + 1;
      // What was given up stays given up, whoever says so.
      case "folder-retired":
      case "feature-unsupported":
        return true;
      // A gateway that is behind does not know yet whom the site has admitted: the majority of the others decides.
      case "folder-unknown":
      case "not-a-member":
        return !this.#othersArePending() && refusers >= Math.floor((gateways - 1) / 2) + 1;
      case "folder-older":
        return !this.#othersArePending();
      case "protocol-unsupported":
        return false;
    }
  }

  /** While others wait for a founding as this gateway does, a single member is as likely the stray one. */
  #othersArePending(): boolean {
    if (this.#bootstrap !== undefined) return false;
    return [...this.#hellos.values()].some((hello) => hello.clusterId === undefined);
  }

  #foundIfPossible(effects: AdmissionEffect[]): void {
    if (this.#bootstrap !== undefined || this.#joining) return;
    const { gateways, self, listDigest, incarnation } = this.#options;
    const founder = [...gateways].sort()[0];
    const incarnations = new Map<GatewayId, Incarnation>([[self, incarnation]]);
    for (const peer of gateways) {
      if (peer === self) continue;
      const hello = this.#hellos.get(peer);
      if (hello === undefined || hello.clusterId !== undefined) return;
      if (hello.listDigest !== listDigest) {
        this.#warn(peer, `${peer} has another list of gateways than ${self}: the site starts when all have the same site.yaml`, effects);
        return;
      }
      if (this.#contested.has(peer)) return;
      incarnations.set(peer, hello.incarnation);
    }
    // One gateway founds, or two could mint two clusters from the same reports.
    if (founder !== self) return;
    this.#joining = true;
    effects.push({ type: "join", bootstrap: this.#options.mint(incarnations), admitted: undefined });
  }

  #protocolText(from: GatewayId, hello: Hello): string {
    return `${from} speaks protocol ${hello.protocolMin} to ${hello.protocolMax}, ${this.#options.self} ${protocolRange.min} to ${protocolRange.max}: bring both to the same or the next version`;
  }

  #warn(peer: GatewayId, text: string, effects: AdmissionEffect[]): void {
    if (this.#warned.get(peer) === text) return;
    this.#warned.set(peer, text);
    effects.push({ type: "warning", peer, text });
  }
}

type Verdict =
  | { readonly kind: "admit" }
  | { readonly kind: "welcome" }
  /** An empty folder of a gateway that the site expects. */
  | { readonly kind: "expected" }
  | { readonly kind: "refuse"; readonly code: RefusalCode; readonly explanation: string };

/** What a member knows of its site and of the gateway that says hello. */
export interface VerdictQuestion {
  readonly site: string;
  readonly clusterId: ClusterId;
  readonly member: RollMember | undefined;
  /** The newest start of this folder that is known. */
  readonly start: KnownStart | undefined;
  /** The folder was given up. */
  readonly retired: boolean;
  readonly featureLevel: number;
  /** How much of the log this knowledge rests on. */
  readonly appliedIndex: number;
}

/** What a member thinks of a peer's hello. Exported for tests, which pin every branch. */
export function verdictOn(hello: Hello, known: VerdictQuestion): Verdict {
  const { member, start, site } = known;
  const refuse = (code: RefusalCode, explanation: string): Verdict => ({ kind: "refuse", code, explanation });
  // The cluster first: what a stray cluster's list says of others is nothing to them.
  if (hello.clusterId !== undefined && hello.clusterId !== known.clusterId)
    return refuse("cluster-foreign", foreignText(hello, known.clusterId));
  if (known.retired) return refuse("folder-retired", member === undefined ? strangerText(hello, site) : givenUpText(hello, site));
  const { featureMax = 1, appliedIndex = 0 } = hello;
  // Of the same cluster, and further on: a leader that came while this gateway was away is not to be refused by what it missed.
  const judges = hello.clusterId === undefined || appliedIndex <= known.appliedIndex;
  if (!judges && member?.incarnation !== hello.incarnation) return { kind: "admit" };
  if (member === undefined) return refuse("not-a-member", strangerText(hello, site));
  if (featureMax < known.featureLevel)
    return refuse(
      "feature-unsupported",
      `site ${site} runs at feature level ${known.featureLevel}, ${hello.from}'s version of Fogbank knows ${featureMax}: update it`,
    );
  if (member.incarnation === undefined) {
    // Only an empty folder: one with the memory of a cluster has been given up, or is another gateway's.
    return hello.clusterId === undefined ? { kind: "expected" } : refuse("folder-unknown", givenUpText(hello, site));
  }
  if (member.incarnation !== hello.incarnation)
    return refuse(
      "folder-unknown",
      hello.clusterId === undefined ? unknownText(hello, site, member.incarnation) : givenUpText(hello, site),
    );
  if (start !== undefined) {
    const older = hello.startCount < start.startCount || (hello.startCount === start.startCount && hello.session !== start.session);
    if (older) return refuse("folder-older", olderText(hello, start.startCount));
  }
  return hello.clusterId === undefined ? { kind: "welcome" } : { kind: "admit" };
}

function strangerText(hello: Hello, site: string): string {
  return hello.clusterId === undefined
    ? `site ${site} has no gateway ${hello.from}: add it with "fogbank gateway add ${hello.from}", asked of a running gateway, then start it again with an empty data folder`
    : `${hello.from} was removed from site ${site}: its data folder is of no use there any more. To have it back, add it with "fogbank gateway add ${hello.from}" and start it with an empty data folder`;
}

function givenUpText(hello: Hello, site: string): string {
  return `the data folder of ${hello.from} was given up by "fogbank gateway replace": site ${site} goes on with another one. Start ${hello.from} with that, or with an empty folder while the site still expects one`;
}

function foreignText(hello: Hello, cluster: ClusterId): string {
  return `the data folder of ${hello.from} belongs to another cluster (${hello.clusterId ?? "none"}) than this site (${cluster}): start ${hello.from} with the data folder that it had here, or give the other site another name`;
}

function unknownText(hello: Hello, site: string, registered: Incarnation): string {
  return (
    `the data folder of ${hello.from} is empty or new (incarnation ${hello.incarnation.slice(0, 8)}), but site ${site} knows ${hello.from} as incarnation ${registered.slice(0, 8)} with data. ` +
    `A gateway without its memory must not vote or acknowledge. The way out: start it with its old data folder (see --data), or, when that disk is lost, ` +
    `have the site expect a new folder with "fogbank gateway replace ${hello.from}", asked of a running gateway, and start ${hello.from} again with the empty one; the other gateways keep serving meanwhile`
  );
}

function olderText(hello: Hello, registeredCount: number): string {
  return (
    `the data folder of ${hello.from} is an older copy: it was started ${hello.startCount} times, the site has seen start ${registeredCount}. ` +
    `Start ${hello.from} with its newest data folder; an older copy must not vote or acknowledge`
  );
}
