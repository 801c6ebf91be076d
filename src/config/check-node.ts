import type { Static, TSchema } from "typebox";
import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, type Scalar, type YAMLMap, type YAMLSeq } from "yaml";
import { suggest } from "../lib/suggest.ts";
import { hasInterpolation, type InterpolationSources, interpolate } from "./interpolate.ts";
import { Places } from "./places.ts";
import type { Place, ProblemList } from "./problem.ts";
import type { SchemaNotes } from "./schema.ts";
import { quote, textChecks } from "./text-check.ts";
import type { YamlFile } from "./yaml-file.ts";

/** A value of which anything may be missing, because it was wrong and has been reported. */
export type Draft<T> = T extends readonly (infer Item)[]
  ? readonly (Draft<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Draft<T[Key]> | undefined }
    : T;

export interface Checked<T> {
  readonly draft: Draft<T> | undefined;
  readonly places: Places;
}

/** The part of JSON Schema that `schema.ts` uses. */
interface SchemaNode extends SchemaNotes {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly maxItems?: number;
}

/**
 * Reads a file by a schema: every problem goes to `problems` at its line and column, and what is right becomes the draft, so
 * that checks across files can go on. With no problem at all, the draft is a value of the schema.
 */
export function checkFile<Schema extends TSchema>(
  file: YamlFile,
  schema: Schema,
  context: { readonly problems: ProblemList; readonly sources: InterpolationSources },
): Checked<Static<Schema>> {
  const start = { file: file.path, line: 1, column: 1 };
  const places = new Places(start, file.root === null ? start : file.placeOf(file.root));
  const value = new Visitor(file, context.problems, context.sources).visit(schema, file.root, { places, name: "the file" });
  return { draft: value as Draft<Static<Schema>> | undefined, places };
}

/** Where the visitor is, and how to call it in a message. */
interface Spot {
  readonly places: Places;
  readonly name: string;
}

/** A few nested aliases can say more than any memory holds. */
const visitCountMax = 250_000;

/** Walks nodes and schema together. `undefined` means: wrong, and reported. */
class Visitor {
  readonly #file: YamlFile;
  readonly #problems: ProblemList;
  readonly #sources: InterpolationSources;
  readonly #anchors = new Map<string, Node>();
  #visits = 0;

  constructor(file: YamlFile, problems: ProblemList, sources: InterpolationSources) {
    this.#file = file;
    this.#problems = problems;
    this.#sources = sources;
  }

  visit(schema: SchemaNode, node: Node | null, spot: Spot): unknown {
    const place = spot.places.value();
    this.#visits++;
    if (this.#visits === visitCountMax)
      this.#refuse(place, "the file says too much, aliases counted as often as they repeat", `expected at most ${visitCountMax} values`);
    if (this.#visits >= visitCountMax) return undefined;
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target !== undefined) return this.visit(schema, target, spot);
      return this.#refuse(place, `*${node.source} repeats something that is not there`, `expected &${node.source} before it`);
    }
    if ((isMap(node) || isSeq(node) || isScalar(node)) && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    const branch = schema.anyOf === undefined ? schema : schema.anyOf.find((each) => fits(each, node));
    if (branch === undefined) return this.#refuseKind(schema, node, spot, place);
    if (branch.type === "object") return this.#mapping(branch, node, spot, place);
    if (branch.type === "array") return isSeq(node) ? this.#list(branch, node, spot) : this.#refuseKind(schema, node, spot, place);
    return isScalar(node) ? this.#scalar(branch, node, spot, place) : this.#refuseKind(schema, node, spot, place);
  }

  #mapping(schema: SchemaNode, node: Node | null, spot: Spot, place: Place): unknown {
    // `replication:` with nothing behind it is an empty mapping.
    const isEmpty = node === null || (isScalar(node) && node.value === null);
    if (!isEmpty && !isMap(node)) return this.#refuseKind(schema, node, spot, place);
    const pairs = isMap(node) ? this.#pairs(node) : [];
    if (this.#refusedBranch(schema, pairs)) return undefined;
    const entries: [string, unknown][] = [];
    for (const { key, keyPlace, value } of pairs) {
      const member = this.#memberSchema(schema, key, keyPlace);
      if (member === undefined) continue;
      entries.push([key, this.visit(member, value, { places: this.#inside(spot, key, keyPlace, value), name: quote(key) })]);
    }
    this.#missing(schema, pairs, spot);
    this.#size(schema, pairs.length, spot);
    // Wrong members are left out; `fromEntries` makes own properties, even of a key such as __proto__.
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }

  #inside(spot: Spot, step: string | number, keyPlace: Place, node: Node | null): Places {
    return spot.places.add(step, keyPlace, node === null ? keyPlace : this.#file.placeOf(node));
  }

  /** The keys as texts, each once. */
  #pairs(node: YAMLMap): { readonly key: string; readonly keyPlace: Place; readonly value: Node | null }[] {
    const pairs: { key: string; keyPlace: Place; value: Node | null }[] = [];
    const lines = new Map<string, number>();
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const keyPlace = this.#file.placeOf(pair.key);
      const key = keyText(pair.key);
      if (key === undefined) {
        this.#refuse(keyPlace, "this key is not a text", "expected a text");
        continue;
      }
      const line = lines.get(key);
      if (line === undefined) pairs.push({ key, keyPlace, value: pair.value });
      else this.#refuse(keyPlace, `the key ${quote(key)} appears twice`, `expected it once (it stands in line ${line} already)`);
      lines.set(key, line ?? keyPlace.line);
    }
    return pairs;
  }

  /** A mapping whose kind (`type: http`, `payload: cbor`) is not built yet: said once, its other keys are not judged. */
  #refusedBranch(schema: SchemaNode, pairs: readonly { readonly key: string; readonly value: Node | null }[]): boolean {
    for (const { key, value } of pairs) {
      const laterValues = ownProperty(schema.properties, key)?.laterValues;
      if (!isScalar(value) || typeof value.value !== "string" || laterValues?.includes(value.value) !== true) continue;
      const supported = ownProperty(schema.properties, key)?.enum ?? [];
      this.#refuse(this.#file.placeOf(value), `${quote(key)}: ${quote(value.value)} is not supported yet`, `expected ${oneOf(supported)}`);
      // Levels such as `any` stand among keys that do not depend on them.
      if (key === "type" || key === "payload") return true;
    }
    return false;
  }

  #memberSchema(schema: SchemaNode, key: string, keyPlace: Place): SchemaNode | undefined {
    const value = Object.values(schema.patternProperties ?? {})[0];
    if (value !== undefined) {
      const fault = schema.keyCheck === undefined ? undefined : textChecks[schema.keyCheck](key);
      if (fault !== undefined) this.#refuse(keyPlace, `the key ${fault.what.replace(/^is /, "")} is not allowed`, fault.expected);
      return fault === undefined ? value : undefined;
    }
    const property = ownProperty(schema.properties, key);
    if (property?.later === true) {
      this.#refuse(keyPlace, `${quote(key)} is not supported yet`, "remove it");
      return undefined;
    }
    if (property === undefined) {
      const known = knownKeys(schema);
      const near = suggest(key, known);
      this.#refuse(keyPlace, `unknown key ${quote(key)}`, near === undefined ? `expected ${oneOf(known)}` : `did you mean ${quote(near)}?`);
    }
    return property;
  }

  #missing(schema: SchemaNode, pairs: readonly { readonly key: string }[], spot: Spot): void {
    const excused = new Set(
      pairs.flatMap(({ key }) => {
        const property = ownProperty(schema.properties, key);
        // A mistyped key has been told with the key that was meant: that one is not missed as well.
        return property === undefined ? [suggest(key, knownKeys(schema))] : [key, ...(property.insteadOf ?? [])];
      }),
    );
    for (const key of schema.required ?? []) {
      if (excused.has(key)) continue;
      const property = ownProperty(schema.properties, key);
      this.#refuse(
        spot.places.key(),
        `${spot.name} has no key ${quote(key)}`,
        property === undefined ? "expected one" : `expected ${expectation(property)}`,
      );
    }
  }

  #size(schema: SchemaNode, count: number, spot: Spot): void {
    const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema;
    if (count < minProperties) this.#refuse(spot.places.key(), `${spot.name} is empty`, `expected at least ${minProperties} entry`);
    if (count > maxProperties) this.#refuse(spot.places.key(), `${spot.name} has ${count} entries`, `expected at most ${maxProperties}`);
  }

  #list(schema: SchemaNode, node: YAMLSeq, spot: Spot): unknown {
    const { items, maxItems = Number.POSITIVE_INFINITY } = schema;
    if (node.items.length > maxItems)
      this.#refuse(spot.places.key(), `${spot.name} has ${node.items.length} entries`, `expected at most ${maxItems}`);
    const nodes = node.items.slice(0, maxItems) as (Node | null)[];
    return nodes.map((item, index) => {
      const place = item === null ? spot.places.key() : this.#file.placeOf(item);
      return this.visit(items ?? {}, item, { places: this.#inside(spot, index, place, item), name: `entry ${index + 1} of ${spot.name}` });
    });
  }

  #scalar(schema: SchemaNode, node: Scalar, spot: Spot, place: Place): unknown {
    let value = node.value;
    if (typeof value === "string" && hasInterpolation(value)) {
      const result = interpolate(value, this.#file.path, this.#sources);
      if (!result.ok) return this.#refuse(place, `${spot.name} ${result.what}`, result.expected);
      value = schema.type === "string" || schema.enum !== undefined ? result.text : fromText(result.text);
    }
    if (schema.enum !== undefined) return this.#choice(schema, value, node, spot, place);
    if (schema.type === "string" && typeof value === "string") return this.#text(schema, value, node, spot, place);
    if (schema.type === "boolean" && typeof value === "boolean") return value;
    if (typeof value === "number" && isNumberOf(schema, value)) return value;
    return this.#refuseKind(schema, node, spot, place);
  }

  #text(schema: SchemaNode, text: string, node: Scalar, spot: Spot, place: Place): string | undefined {
    const fault = schema.check === undefined ? undefined : textChecks[schema.check](text);
    if (fault === undefined) return text;
    // What a file or a variable holds may be secret, so that it is not repeated.
    const isFilledIn = typeof node.value === "string" && node.value !== text;
    const what = isFilledIn && schema.secret !== true ? `is not valid once ${describe(node)} is filled in` : fault.what;
    return this.#refuse(place, `${spot.name} ${what}`, fault.expected);
  }

  #choice(schema: SchemaNode, value: unknown, node: Scalar, spot: Spot, place: Place): unknown {
    const allowed = schema.enum ?? [];
    if (allowed.includes(value)) return value;
    if (typeof value === "string" && schema.laterValues?.includes(value) === true) return undefined;
    const misplaced = typeof value === "string" ? ownValue(schema.misplacedValues, value) : undefined;
    if (misplaced !== undefined)
      return this.#refuse(place, `${spot.name} is ${describe(node)}, ${misplaced}`, `expected ${oneOf(allowed)}`);
    const near = typeof value === "string" ? suggest(value, allowed.map(String)) : undefined;
    return this.#refuse(
      place,
      `${spot.name} is ${describe(node)}`,
      near === undefined ? `expected ${oneOf(allowed)}` : `did you mean ${quote(near)}?`,
    );
  }

  #refuseKind(schema: SchemaNode, node: Node | null, spot: Spot, place: Place): undefined {
    const isUnquoted = isScalar(node) && (typeof node.value === "number" || typeof node.value === "boolean") && schema.type === "string";
    const hint = isUnquoted ? " (in quotes)" : "";
    const what = schema.secret === true && isScalar(node) ? "is no text" : `is ${describe(node)}`;
    return this.#refuse(place, `${spot.name} ${what}`, `expected ${expectation(schema)}${hint}`);
  }

  #refuse(place: Place, what: string, expected: string): undefined {
    this.#problems.add(place, what, expected);
    return undefined;
  }
}

/** Chooses the branch of a union by the kind of node alone, so that one mistake is told once. */
function fits(schema: SchemaNode, node: Node | null): boolean {
  if (schema.type === "object") return isMap(node);
  if (schema.type === "array") return isSeq(node);
  if (!isScalar(node)) return false;
  return schema.type === "string" ? typeof node.value === "string" : typeof node.value === "number";
}

function ownValue(texts: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return texts !== undefined && Object.hasOwn(texts, key) ? texts[key] : undefined;
}

function ownProperty(properties: Readonly<Record<string, SchemaNode>> | undefined, key: string): SchemaNode | undefined {
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** The keys that a mapping may have in this version. */
function knownKeys(schema: SchemaNode): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, { later }]) => (later === true ? [] : [name]));
}

/** `1: x` and `true: x` are keys too: as they are written. */
function keyText(key: Node): string | undefined {
  if (!isScalar(key)) return undefined;
  if (typeof key.value === "string") return key.value;
  return key.source === undefined || key.value === null ? undefined : key.source;
}

/** A value from outside that stands where a number or a boolean belongs. */
function fromText(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

function isNumberOf(schema: SchemaNode, value: number): boolean {
  if (schema.type !== "integer" && schema.type !== "number") return false;
  if (schema.type === "integer" ? !Number.isSafeInteger(value) : !Number.isFinite(value)) return false;
  return value >= (schema.minimum ?? Number.NEGATIVE_INFINITY) && value <= (schema.maximum ?? Number.POSITIVE_INFINITY);
}

function expectation(schema: SchemaNode): string {
  if (schema.expected !== undefined) return schema.expected;
  if (schema.enum !== undefined) return oneOf(schema.enum);
  switch (schema.type) {
    case "integer":
      return schema.maximum === undefined ? "a whole number" : `a whole number from ${schema.minimum ?? 0} to ${schema.maximum}`;
    case "number":
      return schema.minimum === undefined ? "a number" : `a number from ${schema.minimum}`;
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
      return "a mapping";
    default:
      return "a text";
  }
}

function oneOf(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.join(", ")}`;
}

function describe(node: Node | null): string {
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  if (!isScalar(node) || node.value === null) return "empty";
  return typeof node.value === "string" ? quote(node.value) : (node.source ?? `a ${typeof node.value}`);
}
