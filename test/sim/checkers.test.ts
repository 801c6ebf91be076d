// Goal: each property that the checker watches is noticed when it breaks, and nothing else is. Method: fake nodes whose logs, terms
// and votes are set by hand, one story for each violation, and the lawful one beside it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../src/core/raft/messages.ts";
import type { RaftView } from "../../src/core/raft/raft-node.ts";
import { gatewayId, memberId } from "../../src/lib/ids.ts";
import { RaftChecker } from "../../src/sim/checkers.ts";
import { SafetyViolation } from "../../src/sim/violations.ts";

type State = Partial<Omit<RaftView, "self" | "votedFor">> & { readonly votedFor?: string };

/** A gateway's node: each `becomes` is one event, after which the checker looks. */
class Fake {
  losses = 0;
  readonly #id: string;
  readonly #checker: RaftChecker;
  #log: readonly Entry[] = [];
  #view: RaftView;
  #node = this.#process();

  constructor(checker: RaftChecker, id: string) {
    this.#checker = checker;
    this.#id = id;
    this.#view = {
      self: memberId(id),
      role: "follower",
      term: 1,
      leader: undefined,
      votedFor: undefined,
      commitIndex: 0,
      appliedIndex: 0,
      configuration: { voters: [], learners: [], witnesses: [] },
      configurationIndex: 0,
      snapshotIndex: 0,
      impairedUntil: undefined,
      firstIndex: 1,
      lastIndex: 0,
      lastTerm: 0,
      durableIndex: 0,
      openProposals: 0,
      openReads: 0,
      uncommittedBytes: 0,
      followers: [],
    };
  }

  /** `log`: terms, or [term, command] where it matters. */
  becomes(state: State, log?: readonly (number | readonly [number, string])[], kind: Entry["kind"] = "command"): void {
    if (log !== undefined)
      this.#log = log.map((each, at): Entry => {
        const [term, text] = typeof each === "number" ? [each, "same"] : each;
        return { index: at + 1, term, kind, command: new TextEncoder().encode(text) };
      });
    const { votedFor, ...rest } = state;
    const last = this.#log.at(-1);
    const vote = votedFor === undefined ? {} : { votedFor: memberId(votedFor) };
    this.#view = { ...this.#view, ...rest, ...vote, lastIndex: last?.index ?? 0, lastTerm: last?.term ?? 0 };
    this.#checker.observeNode({ id: gatewayId(this.#id), node: this.#node, losses: this.losses });
  }

  /** The next `becomes` is of a new process. */
  restarts(): void {
    this.#node = this.#process();
    this.#view = { ...this.#view, role: "follower", commitIndex: 0, appliedIndex: 0 };
  }

  #process(): { readonly view: () => RaftView; readonly entryAt: (index: number) => Entry | undefined } {
    return { view: () => this.#view, entryAt: (index) => (index < this.#view.firstIndex ? undefined : this.#log[index - 1]) };
  }
}

function three(): readonly [Fake, Fake, Fake] {
  const checker = new RaftChecker();
  return [new Fake(checker, "gw-a"), new Fake(checker, "gw-b"), new Fake(checker, "gw-c")];
}

function violates(story: () => void, what: RegExp): void {
  try {
    story();
  } catch (error) {
    assert.instance(error, SafetyViolation);
    assert.match(error instanceof Error ? error.message : "", what);
    return;
  }
  assert.unreachable(`unnoticed: ${what}`);
}

const test = suite("sim: checkers");

test("a lawful run: elections, an overwritten entry, a restart, a log compacted at its front", () => {
  const [a, b, c] = three();
  a.becomes({ role: "leader", term: 1, votedFor: "gw-a" }, [1, 1]);
  b.becomes({ term: 1, votedFor: "gw-a", durableIndex: 1 }, [1]);
  a.becomes({ commitIndex: 1, appliedIndex: 1, durableIndex: 2 });
  c.becomes({ term: 1, votedFor: "gw-a" }, [1]);
  b.becomes({ role: "leader", term: 2, votedFor: "gw-b", durableIndex: 1 }, [1, 2]);
  a.becomes({ role: "follower", term: 2, votedFor: "gw-a", durableIndex: 1 }, [1]);
  a.becomes({ term: 2, durableIndex: 2 }, [1, 2]);
  b.becomes({ commitIndex: 2, appliedIndex: 2, durableIndex: 2 });
  b.restarts();
  b.becomes({ term: 2, durableIndex: 2 }, [1, 2]);
  c.becomes({ term: 2, firstIndex: 3, snapshotIndex: 2, commitIndex: 2, appliedIndex: 2 }, [1, 2]);
  c.becomes({ role: "leader", term: 3, votedFor: "gw-c" }, [1, 2, 3]);
});

test("election safety: two leaders in a term", () => {
  const [a, b] = three();
  a.becomes({ role: "leader", term: 3 });
  b.becomes({ role: "leader", term: 4 });
  b.becomes({ role: "leader", term: 5 });
  violates(() => a.becomes({ role: "leader", term: 5 }), /gw-b and gw-a both lead in term 5/);
});

test("terms and votes never go back in a process", () => {
  const [a, b, c] = three();
  a.becomes({ term: 3 });
  violates(() => a.becomes({ term: 2 }), /went back from term 3 to 2/);
  b.becomes({ term: 3, votedFor: "gw-a" });
  b.becomes({ term: 4, votedFor: "gw-c" });
  violates(() => b.becomes({ term: 4, votedFor: "gw-a" }), /voted for gw-c and gw-a in term 4/);
  c.becomes({ commitIndex: 1 }, [1]);
  violates(() => c.becomes({ commitIndex: 0 }), /went back from commit index 1/);
});

test("what is applied is committed, and stays applied", () => {
  const [a, b] = three();
  violates(() => a.becomes({ commitIndex: 1, appliedIndex: 2 }, [1, 1]), /applied entry 2, and only 1/);
  b.becomes({ commitIndex: 2, appliedIndex: 2 }, [1, 1]);
  violates(() => b.becomes({ appliedIndex: 1 }), /went back from applied index 2/);
});

test("leader append-only: a leader neither cuts nor overwrites its log", () => {
  const [a, b] = three();
  a.becomes({ role: "leader", term: 2 }, [1, 2, 2]);
  a.becomes({}, [1, 2, 2, 2]);
  violates(() => a.becomes({}, [1, 2]), /cut its log from 4 to 2/);
  b.becomes({ role: "leader", term: 3 }, [1, 1, 1]);
  violates(() => b.becomes({}, [1, 1, 3, 3]), /wrote over entry 3/);
});

test("log matching: one entry for an index and a term, and one before it", () => {
  const [a, b, c] = three();
  a.becomes({}, [1, [2, "this"]]);
  violates(() => b.becomes({}, [1, [2, "that"]]), /entry 2 of term 2 is .* at gw-a and .* at gw-b/);
  a.becomes({}, [1, 2, 4]);
  violates(() => c.becomes({}, [1, 3, 4]), /entry 3 of term 4 comes after one of term 2 at gw-a, and of term 3 at gw-c/);
});

test("a log without gaps, whose terms do not fall", () => {
  const [a, b] = three();
  violates(() => a.becomes({}, [2, 1]), /entry 2 of term 1 after one of term 2/);
  violates(() => b.becomes({ commitIndex: 3 }, [1, 1]), /committed entry 3 and does not have it/);
});

test("leader completeness: a new leader has what was committed in earlier terms", () => {
  const [a, b, c] = three();
  a.becomes({ role: "leader", term: 2, commitIndex: 2 }, [1, 2]);
  // A leader of an earlier term, that nobody has told yet.
  c.becomes({ role: "leader", term: 1 }, [1]);
  violates(() => b.becomes({ role: "leader", term: 3 }, [1]), /gw-b leads in term 3 without the committed entry 2 of term 2/);
});

test("leader completeness: nor is anything committed afterwards that a later leader lacks", () => {
  const [a, b] = three();
  a.becomes({ role: "leader", term: 2 }, [1, 2]);
  b.becomes({ role: "leader", term: 3 }, [1, 3]);
  violates(() => a.becomes({ commitIndex: 2 }), /gw-b leads in term 3 without the committed entry 2/);
});

test("state machine safety: one committed entry at an index", () => {
  const [a, b] = three();
  a.becomes({ term: 2, commitIndex: 2 }, [1, 2]);
  violates(() => b.becomes({ term: 3, commitIndex: 2 }, [1, 3]), /committed entry 2 of term 3, another gateway one of term 2/);
});

test("after a restart the durable log, its terms and the leader's own vote are still there", () => {
  const [a, b, c] = three();
  a.becomes({ term: 2, durableIndex: 2 }, [1, 2, 2]);
  a.restarts();
  violates(() => a.becomes({ term: 2, durableIndex: 1 }, [1]), /has entries up to 1 after a restart, and had made 2 durable/);
  b.becomes({ role: "leader", term: 5, votedFor: "gw-b" });
  b.restarts();
  violates(() => b.becomes({ term: 5, votedFor: "gw-c" }), /forgot its vote for itself in term 5/);
  c.becomes({ term: 6, durableIndex: 1 }, [6]);
  c.restarts();
  violates(() => c.becomes({ term: 5 }, [6]), /went back to term 5 by a restart, from 6/);
});

test("of what was not durable, or was on a disk that is lost, nothing is expected", () => {
  const [a, b] = three();
  a.becomes({ term: 4, durableIndex: 1 }, [1, 2]);
  a.restarts();
  a.becomes({ term: 3, durableIndex: 1 }, [1]);
  b.becomes({ role: "leader", term: 5, votedFor: "gw-b", durableIndex: 2 }, [1, 2]);
  b.restarts();
  b.losses++;
  b.becomes({ term: 1, durableIndex: 0 }, []);
});

test("one membership change at a time", () => {
  const [a, b] = three();
  a.becomes({ role: "leader", term: 1 }, [1], "configuration");
  a.becomes({ commitIndex: 1 });
  a.becomes({}, [1, 1], "configuration");
  violates(() => a.becomes({}, [1, 1, 1], "configuration"), /membership changes under way at once: entries 2, 3/);
  // A follower may not know yet that the first one is committed.
  b.becomes({ term: 1 }, [1, 1, 1], "configuration");
});

test.run();
