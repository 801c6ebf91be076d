import type { DecodedMessage } from "../../config/decoded-message.ts";
import { compileProfiles, createDecoder } from "../../config/profile-set.ts";
import type { ProfileSettings } from "../../config/settings.ts";
import type { ExitStatus } from "../../lib/errors.ts";
import type { ReadingValue } from "../../lib/reading.ts";
import { valueAt } from "../../lib/reading-columns.ts";
import { print } from "../command.ts";
import { defaultSiteFile, readSiteOrReport } from "../site-file.ts";
import { formatTime, plain, plainValue, printError, printTable } from "../terminal.ts";
import type { World } from "../world.ts";

export interface DecodeOptions {
  readonly site?: string;
  readonly output: string;
}

interface DecodedReading {
  readonly metric: string;
  readonly value: ReadingValue;
  readonly unit: string | undefined;
}

/** `fogbank decode`: what the site's profiles make of a payload, without a gateway. Exit 1 when anything is refused. */
export async function decode(world: World, topic: string, payload: string, options: DecodeOptions): Promise<ExitStatus> {
  const settings = readSiteOrReport(world, options.site ?? defaultSiteFile);
  if (settings === undefined) return 2;
  const match = compileProfiles(settings.profiles, settings.inventory).match(topic);
  if (match === undefined) {
    const topics = settings.profiles.map((profile) => `${profile.topic} (${profile.name})`);
    printError(
      world,
      `no profile maps the topic ${topic}: it would be delivered, not stored. Known are ${topics.length === 0 ? "none" : topics.join(", ")}`,
    );
    return 1;
  }
  const decoded = createDecoder().decode(match, new TextEncoder().encode(payload));
  if ("reason" in decoded) {
    printError(world, `${decoded.reason}: ${decoded.detail} (profile ${match.profile.name}, device ${match.device})`);
    return 1;
  }
  const { rejects, timeUs } = decoded;
  const answer = {
    device: match.device,
    profile: match.profile.name,
    time: timeUs === undefined ? undefined : timeUs / 1000,
    readings: readingsOf(match.profile, decoded),
    rejects,
  };
  print(world, options, answer, ({ device, profile, time, readings }) => {
    world.out.write(
      `device   ${plain(device)}\nprofile  ${plain(profile)}\ntime     ${time === undefined ? "the gateway's" : formatTime(time)}\n\n`,
    );
    printTable(
      world,
      ["METRIC", "VALUE", "UNIT"],
      readings.map(({ metric, value, unit }) => [metric, plainValue(value), unit ?? "–"]),
    );
    for (const reject of rejects) printError(world, `${reject.metric}: ${reject.reason}, ${reject.detail}`);
  });
  return rejects.length === 0 ? 0 : 1;
}

function readingsOf(profile: ProfileSettings, decoded: DecodedMessage): readonly DecodedReading[] {
  return Array.from({ length: decoded.count }, (_, row) => {
    const metric = profile.metrics[decoded.metrics[row] ?? 0];
    return { metric: metric?.name ?? "", value: valueAt(decoded, row), unit: metric?.unit };
  });
}
