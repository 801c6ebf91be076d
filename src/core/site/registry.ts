/** What is registered of the world around: the newest start of each gateway, and the devices that were seen. */

import { type DeviceId, deviceId, type GatewayId, gatewayId, type SessionId, sessionId } from "../../lib/ids.ts";
import type { GatewayStartedCommand, RegisterDevicesCommand } from "./commands.ts";
import { count, list, text, tuple, whole } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

export interface RegisteredDevice {
  readonly id: DeviceId;
  readonly profile: string;
  readonly metrics: readonly string[];
  readonly firstSeenMs: number;
}

/** The how many-th start of a data folder, and its random id. */
export interface RegisteredStart {
  readonly startCount: number;
  readonly session: SessionId;
}

const isStart = tuple(text, count, text);
const isDevice = tuple(text, text, list(text), whole);

export class Registry {
  readonly #starts = new Map<GatewayId, RegisteredStart>();
  readonly #devices = new Map<DeviceId, RegisteredDevice>();

  startOf(gateway: GatewayId): RegisteredStart | undefined {
    return this.#starts.get(gateway);
  }

  devices(): ReadonlyMap<DeviceId, RegisteredDevice> {
    return this.#devices;
  }

  started(command: GatewayStartedCommand): void {
    const known = this.#starts.get(command.gateway);
    if (known === undefined || command.startCount > known.startCount)
      this.#starts.set(command.gateway, { startCount: command.startCount, session: command.session });
  }

  /** Another data folder counts its starts from one. */
  forgetStart(gateway: GatewayId): void {
    this.#starts.delete(gateway);
  }

  register(command: RegisterDevicesCommand): void {
    for (const seen of command.devices) {
      const known = this.#devices.get(seen.id);
      const metrics = known === undefined ? seen.metrics : [...new Set([...known.metrics, ...seen.metrics])].sort();
      this.#devices.set(seen.id, {
        id: seen.id,
        profile: seen.profile,
        metrics,
        firstSeenMs: Math.min(seen.firstSeenMs, known?.firstSeenMs ?? seen.firstSeenMs),
      });
    }
  }

  capture(): Part[] {
    const starts = [...this.#starts];
    const devices = [...this.#devices.values()];
    return [
      { section: Section.Start, size: starts.length, item: (at) => startItem(starts[at] as [GatewayId, RegisteredStart]) },
      { section: Section.Device, size: devices.length, item: (at) => deviceItem(devices[at] as RegisteredDevice) },
    ];
  }

  restoreStart(item: unknown): boolean {
    if (!isStart(item)) return false;
    const [gateway, startCount, session] = item as [string, number, string];
    this.#starts.set(gatewayId(gateway), { startCount, session: sessionId(session) });
    return true;
  }

  restoreDevice(item: unknown): boolean {
    if (!isDevice(item)) return false;
    const [id, profile, metrics, firstSeenMs] = item as [string, string, string[], number];
    this.#devices.set(deviceId(id), { id: deviceId(id), profile, metrics, firstSeenMs });
    return true;
  }

  picture(): unknown {
    return [
      [...this.#starts].sort((a, b) => (a[0] < b[0] ? -1 : 1)),
      [...this.#devices.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).map(deviceItem),
    ];
  }
}

function startItem([gateway, { startCount, session }]: readonly [GatewayId, RegisteredStart]): unknown {
  return [gateway, startCount, session];
}

function deviceItem({ id, profile, metrics, firstSeenMs }: RegisteredDevice): unknown {
  return [id, profile, metrics, firstSeenMs];
}
