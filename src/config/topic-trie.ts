import { deviceLevel } from "./topic-filter.ts";

/** Topic filters as a tree by level: a topic is matched in one walk, however many filters there are. */
interface TrieNode<T> {
  readonly literals: Map<string, TrieNode<T>>;
  plus: TrieNode<T> | undefined;
  device: TrieNode<T> | undefined;
  /** Filters that end here, and those that end with `#` below here. */
  value: T | undefined;
  hash: T | undefined;
}

export class TopicTrie<T> {
  readonly #root = emptyNode<T>();

  /** No two filters may match the same topic. */
  add(filter: string, value: T): void {
    const levels = filter.split("/");
    let node = this.#root;
    for (const level of levels) {
      if (level === "#") {
        node.hash = value;
        return;
      }
      node = childFor(node, level);
    }
    node.value = value;
  }

  /** The filter's value and the level that stands for `{device}`. Topics with `$` match no filter (MQTT-4.7.2-1). */
  find(topic: string): { readonly value: T; readonly device: string } | undefined {
    if (topic.startsWith("$")) return undefined;
    return walk(this.#root, topic.split("/"), 0, "");
  }
}

function emptyNode<T>(): TrieNode<T> {
  return { literals: new Map(), plus: undefined, device: undefined, value: undefined, hash: undefined };
}

function childFor<T>(node: TrieNode<T>, level: string): TrieNode<T> {
  if (level === deviceLevel) {
    node.device ??= emptyNode();
    return node.device;
  }
  if (level === "+") {
    node.plus ??= emptyNode();
    return node.plus;
  }
  const known = node.literals.get(level) ?? emptyNode<T>();
  node.literals.set(level, known);
  return known;
}

/** Visits each node of the tree at most once. */
function walk<T>(node: TrieNode<T>, levels: readonly string[], index: number, device: string): { value: T; device: string } | undefined {
  const level = levels[index];
  if (level === undefined) {
    const value = node.value ?? node.hash;
    return value === undefined ? undefined : { value, device };
  }
  const literal = node.literals.get(level);
  return (
    (literal && walk(literal, levels, index + 1, device)) ??
    (node.device && walk(node.device, levels, index + 1, level)) ??
    (node.plus && walk(node.plus, levels, index + 1, device)) ??
    (node.hash === undefined ? undefined : { value: node.hash, device })
  );
}
