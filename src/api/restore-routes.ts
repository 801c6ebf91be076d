import type { RestoredBlock, SeriesDigests, SiteContents } from "../client/schema.ts";
import type { GatewayService } from "../gateway/service.ts";
import { failure, type Result, success } from "../lib/errors.ts";
import { type Answer, type Call, jsonAnswer } from "./answer.ts";

/** A backup on its way into the site over HTTP, and what it is compared with. */

type RestoreService = Pick<GatewayService, "siteContents" | "restoreBlock" | "digests">;

export async function siteContents(service: RestoreService): Promise<Result<Answer>> {
  const contents = await service.siteContents();
  if (!contents.ok) return contents;
  const value: SiteContents = contents.value;
  return success(jsonAnswer(value));
}

export async function restoreBlock(service: RestoreService, { query, body }: Call): Promise<Result<Answer>> {
  const check = query.choice("check", ["true", "false"]) === "true";
  if (query.failed !== undefined) return query.failed;
  if (body === undefined || body.length === 0) return failure("bad-request", "the body is empty; expected one block of a backup");
  const restored = await service.restoreBlock(body, { check });
  if (!restored.ok) return restored;
  const value: RestoredBlock = restored.value;
  return success(jsonAnswer(value));
}

export async function digests(service: RestoreService, { query }: Call): Promise<Result<Answer>> {
  const cursor = query.cursor("cursor");
  if (query.failed !== undefined) return query.failed;
  const page = await service.digests(cursor);
  if (!page.ok) return page;
  const value: SeriesDigests = page.value;
  return success(jsonAnswer(value));
}
