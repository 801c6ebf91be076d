/**
 * Whoever runs the site: asks for changes of its members, again and again, as the manual says, until the site has made
 * them, and starts gateways on the folders that the site expects. Goes on when the faults are over: what an operator began
 * must come about then.
 */

import { partitionSet } from "../core/site/retention.ts";
import type { ForceOption, GatewayMemberRequest, GatewayService } from "../gateway/service.ts";
import { failure, type Result } from "../lib/errors.ts";
import type { Partition } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import type { SimulatedGateway } from "./simulated-gateway.ts";
import type { SimulatedSite } from "./site.ts";
import { SafetyViolation } from "./violations.ts";

const againMs = 500;
const patienceMs = 15_000;
const moveTimeoutMs = 2_000;
const gentle: ForceOption = { force: false };
/** Answers after which it is worth while to ask again: there is no leader, the outcome is unknown, copies are not whole yet. */
const worthAsking: ReadonlySet<string> = new Set([
  "not-applied",
  "outcome-unknown",
  "quorum-unavailable",
  "not-ready",
  "unreachable",
  "busy",
  "under-replicated",
  "member-change-pending",
]);

export class Operator {
  readonly #site: SimulatedSite;
  readonly #random: Random;
  #open = 0;

  constructor(options: { readonly site: SimulatedSite; readonly random: Random }) {
    this.#site = options.site;
    this.#random = options.random;
  }

  /** Nothing that was begun is under way. */
  idle(): boolean {
    return this.#open === 0;
  }

  /** The disk of a gateway that does not run is lost for good: the site expects a new folder, and gets it. */
  replace(gateway: SimulatedGateway): Promise<void> {
    return this.#see(async () => {
      await this.#insist(gateway, (service) => service.replaceGateway(gateway.id, gentle));
      await this.#join(gateway);
    });
  }

  /** A gateway is taken out while it runs, and comes back with an empty disk. */
  removeAndAdd(gateway: SimulatedGateway): Promise<void> {
    return this.#see(async () => {
      await this.#insist(gateway, (service) => service.removeGateway(gateway.id, gentle), "member-unknown");
      gateway.crash({ power: true });
      gateway.disk.wipe();
      const request = this.#requestOf(gateway);
      await this.#insist(gateway, (service) => service.addGateway(request), "member-exists");
      await this.#join(gateway);
    });
  }

  /** Once, at a gateway that runs; whatever comes of it. */
  transferLeadership(to: SimulatedGateway | undefined): void {
    const asked = this.#random.pick(this.#site.gateways).running();
    asked?.process.deliver(() => void asked.service.transferLeadership(to?.id));
  }

  /** Once, at a gateway that runs; whatever comes of it. */
  reweigh(gateway: SimulatedGateway, weight: number): void {
    const asked = this.#random.pick(this.#site.gateways).running();
    asked?.process.deliver(() => void asked.service.updateGateway(gateway.id, { weight, zone: undefined }));
  }

  /** As a leader plans it, for one partition; whatever comes of it. */
  movePlace(at: Partition, { from, to }: { readonly from: SimulatedGateway; readonly to: SimulatedGateway }): void {
    const running = this.#site.leader()?.running();
    running?.process.deliver(() => {
      const serving = running.gateway.serving();
      const epoch = serving?.state.ring()?.table.epoch;
      if (serving === undefined || epoch === undefined) return;
      const changes = [{ from: from.id, to: to.id, partitions: partitionSet([at]) }];
      void serving.consensus.propose({ t: "owner-places", epoch, changes }, moveTimeoutMs);
    });
  }

  async #see(work: () => Promise<void>): Promise<void> {
    this.#open++;
    try {
      await work();
    } catch (cause) {
      this.#site.fail(cause);
    } finally {
      this.#open--;
    }
  }

  /** `doneAs`: what the site answers when an earlier attempt, of which nothing was heard, has done it. */
  async #insist(about: SimulatedGateway, ask: (service: GatewayService) => Promise<Result<void>>, doneAs?: string): Promise<void> {
    for (let asked = 0; ; asked++) {
      const answer = await this.#ask(about, ask);
      if (answer.ok || (asked > 0 && answer.code === doneAs)) return;
      if (!worthAsking.has(answer.code))
        throw new SafetyViolation(`an operator's change of ${about.id} was refused: ${answer.code}, ${answer.message}`);
      await this.#pause(againMs + this.#random.below(againMs));
    }
  }

  /** Asks any gateway but the one that it is about; one that dies, or says nothing for long, has not answered. */
  #ask(about: SimulatedGateway, ask: (service: GatewayService) => Promise<Result<void>>): Promise<Result<void>> {
    const running = this.#random.pick(this.#site.gateways.filter((gateway) => gateway !== about)).running();
    if (running === undefined) return Promise.resolve(failure("unreachable", "it does not run"));
    return new Promise((resolve, reject) => {
      const settle = (answer: Result<void>): void => {
        patience.cancelled = true;
        forget();
        resolve(answer);
      };
      const unknown = (): void => settle(failure("outcome-unknown", "no answer came"));
      const patience = this.#site.scheduler.schedule(patienceMs, "an operator waits no longer", unknown);
      const forget = running.process.whenEnded(unknown);
      running.process.deliver(() => {
        ask(running.service).then((answer) => {
          if (running.process.alive()) settle(answer);
        }, reject);
      });
    });
  }

  /** Starts the gateway on its empty disk until it is a member again. */
  async #join(gateway: SimulatedGateway): Promise<void> {
    while (gateway.running()?.gateway.phase() !== "serving") {
      if (gateway.running() === undefined) gateway.start();
      await this.#pause(againMs);
    }
  }

  #requestOf(gateway: SimulatedGateway): GatewayMemberRequest {
    const settings = this.#site.settings.gateways.find(({ id }) => id === gateway.id);
    if (settings === undefined) throw new RangeError(`the settings have no ${gateway.id}`);
    const { host, listen } = settings;
    const address = { host, mqtt: listen.mqtt.port, mesh: listen.mesh.port, http: listen.http.port };
    return { id: gateway.id, role: "full", zone: undefined, weight: 1, address };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#site.scheduler.schedule(ms, "an operator looks again", () => resolve());
    });
  }
}
