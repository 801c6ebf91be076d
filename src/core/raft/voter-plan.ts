/**
 * Which change of the membership a leader should make next: one step at a time towards the largest odd number, up to five,
 * of healthy voters, everybody else a learner. It never shrinks below three where the site has three (or below what it has),
 * and never gives up a dead voter unless a healthy learner has taken its place or the rest is an odd quorum by itself.
 * Pure: the same question gives the same answer.
 */
import type { MemberId } from "../../lib/ids.ts";
import { majorityOf, votersMax } from "../../lib/voters.ts";
import type { ConfigurationRecord } from "./configuration.ts";

export interface PlannedMember {
  readonly id: MemberId;
  readonly witness: boolean;
  /** Answered lately. */
  readonly healthy: boolean;
  /** Has nearly all of the log on disk. */
  readonly caughtUp: boolean;
}

export interface VoterQuestion {
  /** The leader that asks. */
  readonly self: MemberId;
  readonly current: ConfigurationRecord;
  /** Everybody who belongs to the site; who stands in `current` and not here has to go. */
  readonly members: readonly PlannedMember[];
}

const votersMin = 3;

/**
 * The next configuration, one voter away from the current one at most; `undefined`: nothing to do. Two members both vote:
 * a commit is then on two disks, where a single voter's would be on one.
 */
export function nextConfiguration(question: VoterQuestion): ConfigurationRecord | undefined {
  const { current, members } = question;
  const known = new Map(members.map((member) => [member.id, member]));
  const witnesses = (ids: readonly MemberId[]) => ids.filter((id) => known.get(id)?.witness === true).sort();
  const make = (voters: readonly MemberId[]): ConfigurationRecord => {
    const learners = members.map((member) => member.id).filter((id) => !voters.includes(id));
    return { voters: [...voters].sort(), learners: learners.sort(), witnesses: witnesses([...voters, ...learners]) };
  };
  const gone = current.voters.filter((id) => !known.has(id));
  // The leader itself last: it makes the changes.
  const leaving = gone.find((id) => id !== question.self) ?? gone[0];
  if (leaving !== undefined && current.voters.length > 1) return make(current.voters.filter((id) => id !== leaving));
  const swapped = changedVoters(question, known);
  const next = make(swapped ?? current.voters);
  return same(next, current) ? undefined : next;
}

/** The voters with one promoted or demoted. */
function changedVoters(question: VoterQuestion, known: ReadonlyMap<MemberId, PlannedMember>): readonly MemberId[] | undefined {
  const { current, members, self } = question;
  const isHealthy = (id: MemberId): boolean => id === self || known.get(id)?.healthy === true;
  const target = voterTarget(members.filter((member) => isHealthy(member.id)).length, members.length);
  const dead = current.voters.filter((id) => !isHealthy(id));
  const alive = current.voters.length - dead.length;
  const ready = members
    .filter((member) => member.healthy && member.caughtUp && !current.voters.includes(member.id))
    .map((member) => member.id)
    .sort();
  const promoted = ready[0];
  const buried = [...dead].sort()[0];
  const voters = current.voters.length;
  if (buried !== undefined && (alive >= target || (voters > target && alive >= majorityOf(voters - 1))))
    return current.voters.filter((id) => id !== buried);
  // Its place is taken first, even by a sixth voter. The other way round the quorum could come to hang on a voter whose log turns
  // out to be damaged, which heals only under a leader; so it can be had with the dead one too, if that comes back.
  const isReplaced = buried !== undefined && voters <= votersMax && alive + 1 >= majorityOf(voters + 1);
  if (promoted !== undefined && (voters < target || isReplaced)) return [...current.voters, promoted];
  if (current.voters.length > target && dead.length === 0) return withoutSurplus(question);
  return undefined;
}

/** Largest odd number up to five of the healthy, three at least where there are three; two members both vote. */
function voterTarget(healthy: number, members: number): number {
  const odd = Math.min(votersMax, healthy % 2 === 1 ? healthy : healthy - 1);
  return Math.min(members, Math.max(odd, Math.min(votersMin, members)));
}

function withoutSurplus({ current, self }: VoterQuestion): readonly MemberId[] {
  const surplus = [...current.voters].sort().findLast((id) => id !== self && !current.witnesses.includes(id));
  return current.voters.filter((id) => id !== surplus);
}

function same(a: ConfigurationRecord, b: ConfigurationRecord): boolean {
  const text = ({ voters, learners, witnesses }: ConfigurationRecord) =>
    JSON.stringify([[...voters].sort(), [...learners].sort(), [...witnesses].sort()]);
  return text(a) === text(b);
}
