/**
 * The follower's side of replication (Raft §5.3). An append is accepted where the logs agree at its `prevIndex`; what
 * conflicts behind it is replaced, what is there already stays. An acknowledgement never claims more than the disk has.
 */
import type { MemberId } from "../../lib/ids.ts";
import { decodeConfiguration } from "./configuration-codec.ts";
import type { AppendRequest, Entry, InstallSnapshot } from "./messages.ts";
import type { RaftState } from "./raft-state.ts";

/** An append of the node's own term, whose sender it follows. */
export function receiveAppend(state: RaftState, from: MemberId, message: AppendRequest): void {
  state.readSequenceSeen = Math.max(state.readSequenceSeen, message.readSequence);
  const { log } = state;
  // What is compacted away was committed, and the leader's log has all that is committed (§5.4.3).
  const agrees = message.prevIndex < log.firstIndex - 1 || log.termAt(message.prevIndex) === message.prevTerm;
  if (!agrees) {
    if (message.prevIndex <= state.commitIndex) state.violation(from, `disagrees about committed entry ${message.prevIndex}`);
    else rejectAppend(state, from, message);
    return;
  }
  const news = firstNew(state, message);
  const conflict = news[0];
  if (conflict !== undefined && conflict.index <= state.commitIndex) {
    state.violation(from, `disagrees about committed entry ${conflict.index}`);
    return;
  }
  if (conflict !== undefined && conflict.index <= state.receivedIndex) {
    state.violation(from, `replaces its own entry ${conflict.index} within term ${state.term}`);
    return;
  }
  // A prefix that is compacted away here is not compared; a correct leader's terms do not fall behind it all the same (§5.3).
  if (conflict !== undefined && conflict.term < (log.termAt(conflict.index - 1) ?? 0)) {
    state.violation(from, `puts entry ${conflict.index} of term ${conflict.term} behind one of a later term`);
    return;
  }
  const unreadable = news.find(({ kind, command }) => kind === "configuration" && !decodeConfiguration(command).ok);
  if (unreadable !== undefined) {
    state.violation(from, `sent entry ${unreadable.index}, which holds no configuration`);
    return;
  }
  if (conflict !== undefined && conflict.index <= log.lastIndex) state.truncateFrom(conflict.index);
  for (const entry of news) state.append(entry);
  // Within a term a leader's log only grows, so an older message never takes back what a newer one has matched.
  state.receivedIndex = Math.max(state.receivedIndex, message.prevIndex + message.entries.length);
  state.commitTo(Math.min(message.commitIndex, state.receivedIndex));
  state.healIfWhole();
  // New entries are acknowledged when they are on disk.
  if (news.length === 0) acknowledge(state, from);
}

/** The message's entries from the first one on that the log does not have. */
function firstNew(state: RaftState, message: AppendRequest): readonly Entry[] {
  const { entries } = message;
  const { log } = state;
  let known = 0;
  while (known < entries.length) {
    const { index, term } = entries[known] as Entry;
    if (index >= log.firstIndex && log.termAt(index) !== term) break;
    known++;
  }
  return known === 0 ? entries : entries.slice(known);
}

export function acknowledge(state: RaftState, leader: MemberId): void {
  const { receivedIndex, readSequenceSeen: readSequence, term } = state;
  const heldIndex = Math.min(receivedIndex, state.durability.durableIndex);
  state.reply(
    leader,
    state.isImpaired
      ? { type: "append-accepted", term, matchIndex: 0, receivedIndex: heldIndex, readSequence }
      : { type: "append-accepted", term, matchIndex: heldIndex, receivedIndex, readSequence },
  );
}

/** The leader's log no longer has what this node lacks. */
export function receiveInstallSnapshot(state: RaftState, from: MemberId, message: InstallSnapshot): void {
  const { snapshotIndex: index, snapshotTerm: term } = message;
  state.readSequenceSeen = Math.max(state.readSequenceSeen, message.readSequence);
  if (state.log.termAt(index) === term) {
    // The log has what the snapshot stands for, and all before it (log matching); only that it is committed is news.
    state.receivedIndex = Math.max(state.receivedIndex, index);
    state.commitTo(index);
  } else if (index > state.commitIndex) {
    state.effects.push({ type: "fetch-snapshot", from, index, term });
  } else {
    // What is committed here agrees with the leader's log (§5.4.3).
    state.receivedIndex = Math.max(state.receivedIndex, state.commitIndex);
  }
  acknowledge(state, from);
}

function rejectAppend(state: RaftState, from: MemberId, message: AppendRequest): void {
  const conflict = state.log.lastWithTermAtMost(message.prevTerm, message.prevIndex);
  state.reply(from, {
    type: "append-rejected",
    term: state.term,
    rejectedIndex: message.prevIndex,
    conflictIndex: conflict.index,
    conflictTerm: conflict.term,
    readSequence: state.readSequenceSeen,
  });
}

/** Answers an append of an earlier term, so that its sender learns of ours and steps down. */
export function rejectDeposed(state: RaftState, from: MemberId, rejectedIndex: number): void {
  state.reply(from, {
    type: "append-rejected",
    term: state.term,
    rejectedIndex,
    conflictIndex: 0,
    conflictTerm: 0,
    readSequence: 0,
  });
}
