import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument, visit } from "yaml";
import type { Place, ProblemList } from "./problem.ts";

/** One YAML file: its nodes, and the line and column of each. */
export interface YamlFile {
  readonly path: string;
  /** `null`: the file has no content. */
  readonly root: Node | null;
  placeOf(node: Node): Place;
}

const fileBytesMax = 4 * 1024 * 1024;

/**
 * Parses YAML 1.2. What cannot be read as YAML goes to `problems`, one problem for each line (a forgotten bracket
 * would otherwise be told four times), and gives `undefined`.
 */
export function parseYamlFile(path: string, bytes: Uint8Array, problems: ProblemList): YamlFile | undefined {
  const start = { file: path, line: 1, column: 1 };
  if (bytes.length > fileBytesMax) {
    problems.add(start, `the file has ${bytes.length} bytes`, `expected at most ${fileBytesMax}`);
    return undefined;
  }
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    problems.add(start, "the file is not valid UTF-8", "save it as UTF-8");
    return undefined;
  }
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file: path, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  // Duplicate keys are found by check-node.ts, which also sees that `1` and "1" are one key.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const faults = [...document.errors, ...document.warnings];
  let lastLine = 0;
  for (const fault of faults) {
    const place = placeAt(fault.code === "MISSING_CHAR" ? openingOf(document, fault.pos[0]) : fault.pos[0]);
    if (place.line === lastLine) continue;
    lastLine = place.line;
    problems.add(place, `the YAML cannot be read: ${plainMessage(fault.message)}`, hintOf(document, fault.code));
  }
  if (faults.length > 0) return undefined;
  return { path, root: document.contents, placeOf: (node) => placeAt(node.range?.[0] ?? 0) };
}

/** An open quote is noticed at the end of the file, but it is mended where it begins. */
function openingOf(document: Document, end: number): number {
  let opening = end;
  visit(document, {
    Scalar(_key, { type, range }) {
      const isQuoted = type === "QUOTE_DOUBLE" || type === "QUOTE_SINGLE";
      if (isQuoted && range?.[1] === end) opening = range[0];
    },
  });
  return opening;
}

function plainMessage(message: string): string {
  const [first = message] = message.split("\n");
  return first
    .replace(/closing (["'])quote/, "closing $1")
    .replace(/; please use YAML\.parseAllDocuments\(\)$/, "")
    .replace(/[.:]$/, "");
}

function hintOf(document: Document, code: string): string {
  if (code === "TAB_AS_INDENT") return "indent with spaces";
  if (code === "MULTIPLE_DOCS") return "expected one document, without ---";
  if (code === "MISSING_CHAR") return "expected the end of what begins here";
  if (code === "TAG_RESOLVE_FAILED") return "expected no tags";
  // `{ token: ${env:X} }`: inside braces an interpolation must be quoted, which the parser's own message does not tell.
  if (code === "UNEXPECTED_TOKEN" && document.contents !== null && hasBareDollar(document.contents)) {
    return 'expected quotes around ${…} inside braces: "${env:NAME}"';
  }
  return "expected YAML 1.2";
}

function hasBareDollar(node: unknown): boolean {
  if (isScalar(node)) return node.value === "$";
  return isMap(node) && node.items.some((pair) => hasBareDollar(pair.value));
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
