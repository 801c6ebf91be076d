import type { ExitStatus } from "../../lib/errors.ts";
import { connect, print, type RemoteOptions, unwrap } from "../command.ts";
import { formatTime, plain, printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export async function deadLetterList(world: World, options: RemoteOptions): Promise<ExitStatus> {
  const value = unwrap(await connect(world, options).deadLetters());
  return print(world, options, value, ({ counts, letters }) => {
    const rows = letters.map((letter) => [
      formatTime(letter.ms),
      letter.topic,
      letter.metric ?? "–",
      letter.reason,
      letter.detail,
      shortened(letter.payload),
    ]);
    printTable(world, ["TIME", "TOPIC", "METRIC", "REASON", "DETAIL", "PAYLOAD"], rows);
    const totals = Object.entries(counts).map(([reason, count]) => `${count} ${plain(reason)}`);
    world.out.write(`since the gateways' start: ${totals.length === 0 ? "none" : totals.join(", ")}\n`);
  });
}

const shortened = (payload: string): string => (payload.length > 60 ? `${payload.slice(0, 60)}…` : payload);
