/**
 * Sessions of commands that are applied once (dissertation §6.3): the results of a process's commands are remembered, and a
 * command that comes again is answered with its result. A session that ended, or was not used for long, answers nothing any
 * more and never begins again: a late copy of a command must not be applied a second time.
 */

import { type GatewayId, gatewayId, type SessionId, sessionId } from "../../lib/ids.ts";
import { type ApplyResult, isApplyResult } from "./apply-result.ts";
import type { OnceCommand, PlainCommand, SessionOpenCommand } from "./commands.ts";
import { count, list, text, tuple } from "./shapes.ts";
import { type Part, Section } from "./state-format.ts";

/** Log entries after the last command of a session at which it expires: every gateway counts the same entries. */
export const sessionEntriesMax = 100_000;
/**
 * How far a session may be ahead of the oldest command that it still waits for, and so the results that are remembered of it.
 * One command without an answer stops the floor while thousands a second pass it.
 */
export const rememberedMax = 65_536;
/** Sessions that ended, so that a late copy of their opening does not begin them again. */
const endedMax = 1_000;

interface Session {
  readonly gateway: GatewayId;
  /** Log index of the last command. */
  lastIndex: number;
  /** Below this nothing is remembered, and nothing may be applied. */
  floor: number;
  readonly results: Map<number, ApplyResult>;
}

const unknown: ApplyResult = { t: "session-unknown" };

const isSession = tuple(text, text, count, count);
const isRemembered = tuple(text, count, isApplyResult);
const isEnded = list(text);

export class Sessions {
  readonly #entriesMax: number;
  /** In the order of their last commands. */
  readonly #sessions = new Map<SessionId, Session>();
  readonly #ended = new Set<SessionId>();

  constructor(entriesMax: number = sessionEntriesMax) {
    this.#entriesMax = entriesMax;
  }

  /** Ends what was not used for too long. To be called before each entry is applied. */
  expire(index: number): void {
    for (const [id, session] of this.#sessions) {
      if (index - session.lastIndex <= this.#entriesMax) return;
      this.#end(id);
    }
  }

  open(index: number, command: SessionOpenCommand): ApplyResult {
    if (this.#ended.has(command.session)) return unknown;
    const known = this.#sessions.get(command.session);
    if (known !== undefined) {
      this.#use(command.session, known, index);
      return { t: "done" };
    }
    for (const [id, session] of this.#sessions) if (session.gateway === command.gateway) this.#end(id);
    this.#sessions.set(command.session, { gateway: command.gateway, lastIndex: index, floor: 0, results: new Map() });
    return { t: "done" };
  }

  once(index: number, command: OnceCommand, applyPlain: (command: PlainCommand) => ApplyResult): ApplyResult {
    const session = this.#sessions.get(command.session);
    if (session === undefined) return unknown;
    this.#use(command.session, session, index);
    raiseFloor(session, command.floor);
    const remembered = session.results.get(command.sequence);
    if (remembered !== undefined) return remembered;
    // Below the floor it may have been applied and forgotten.
    if (command.sequence < session.floor || command.sequence >= session.floor + rememberedMax) return unknown;
    const result = applyPlain(command.command);
    session.results.set(command.sequence, result);
    return result;
  }

  #use(id: SessionId, session: Session, index: number): void {
    session.lastIndex = index;
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
  }

  #end(id: SessionId): void {
    this.#sessions.delete(id);
    this.#ended.add(id);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= endedMax) break;
      this.#ended.delete(oldest);
    }
  }

  capture(): Part[] {
    const parts: Part[] = [];
    for (const [id, { gateway, floor, lastIndex, results }] of this.#sessions) {
      const remembered = [...results];
      parts.push(
        { section: Section.Session, size: 1, item: () => [gateway, id, floor, lastIndex] },
        { section: Section.Remembered, size: remembered.length, item: (at) => [id, ...(remembered[at] as [number, ApplyResult])] },
      );
    }
    const ended = [...this.#ended];
    parts.push({ section: Section.EndedSessions, size: 1, item: () => ended });
    return parts;
  }

  restoreSession(item: unknown): boolean {
    if (!isSession(item)) return false;
    const [gateway, id, floor, lastIndex] = item as [string, string, number, number];
    this.#sessions.set(sessionId(id), { gateway: gatewayId(gateway), lastIndex, floor, results: new Map() });
    return true;
  }

  restoreRemembered(item: unknown): boolean {
    if (!isRemembered(item)) return false;
    const [id, sequence, result] = item as [string, number, ApplyResult];
    const session = this.#sessions.get(sessionId(id));
    session?.results.set(sequence, result);
    return session !== undefined;
  }

  restoreEnded(item: unknown): boolean {
    if (!isEnded(item)) return false;
    for (const id of item as readonly string[]) this.#ended.add(sessionId(id));
    return true;
  }

  picture(): unknown {
    const open = [...this.#sessions].map(([id, session]) => [
      id,
      session.gateway,
      session.floor,
      session.lastIndex,
      [...session.results].sort((a, b) => a[0] - b[0]),
    ]);
    return [open, [...this.#ended]];
  }
}

function raiseFloor(session: Session, floor: number): void {
  if (floor <= session.floor) return;
  if (floor - session.floor <= session.results.size)
    for (let sequence = session.floor; sequence < floor; sequence++) session.results.delete(sequence);
  else for (const sequence of session.results.keys()) if (sequence < floor) session.results.delete(sequence);
  session.floor = floor;
}
