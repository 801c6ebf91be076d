import type { ExitStatus } from "../../lib/errors.ts";
import { connect, type RemoteOptions, reportFailure, unwrap } from "../command.ts";
import { formatTime, jsonText, plain, plainValue, printWarning } from "../terminal.ts";
import type { World } from "../world.ts";

export interface TailOptions extends RemoteOptions {
  readonly device: string;
}

/** `fogbank tail`: readings as they are acknowledged, anywhere in the site, until Ctrl-C. Best effort: a count of what was missed is shown. */
export async function tail(world: World, options: TailOptions): Promise<ExitStatus> {
  const stop = new AbortController();
  const remove = world.onInterrupt(() => stop.abort());
  try {
    for await (const event of unwrap(await connect(world, options).events(options.device, stop.signal))) {
      if (!event.ok) return reportFailure(world, event);
      const { value } = event;
      if (value.type === "dropped") printWarning(world, `${value.count} readings were not shown: they came faster than they could be sent`);
      if (value.type !== "reading") continue;
      const { device, metric, ms } = value;
      if (options.output === "json")
        world.out.write(`${jsonText({ device, metric, time: ms, value: value.value, gateway: value.gateway })}\n`);
      else world.out.write(`${formatTime(ms)}  ${plain(device)}  ${plain(metric)}  ${plainValue(value.value)}\n`);
    }
    return 0;
  } finally {
    remove();
  }
}
