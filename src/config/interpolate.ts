import { folderOf, resolveFrom } from "../lib/file-path.ts";
import type { SiteEnvironment, SiteReader } from "./site-reader.ts";
import { quote } from "./text-check.ts";

/**
 * `${file:./secret}` and `${env:NAME}` inside texts; `$${` stands for a literal `${`. Files are read relative to the
 * folder of the YAML file, and lose one final newline.
 */
export type Interpolation =
  | { readonly ok: true; readonly text: string }
  /** What is wrong never repeats what a file or a variable holds. */
  | { readonly ok: false; readonly what: string; readonly expected: string };

export interface InterpolationSources {
  readonly reader: SiteReader;
  readonly env: SiteEnvironment;
}

const expression = /\$\$\{|\$\{([^}]*)\}?/g;
const valueBytesMax = 64 * 1024;

export function hasInterpolation(text: string): boolean {
  return text.includes("${");
}

export function interpolate(text: string, yamlPath: string, sources: InterpolationSources): Interpolation {
  let fault: Extract<Interpolation, { ok: false }> | undefined;
  const replaced = text.replace(expression, (whole, inside: string | undefined) => {
    if (inside === undefined) return "${";
    const part = whole.endsWith("}")
      ? evaluate(inside, yamlPath, sources)
      : refuse(`has ${quote(whole)} without an end`, "expected ${file:PATH} or ${env:NAME}");
    if (part.ok) return part.text;
    fault ??= part;
    return "";
  });
  return fault ?? { ok: true, text: replaced };
}

function evaluate(inside: string, yamlPath: string, sources: InterpolationSources): Interpolation {
  const match = /^(file|env):(.+)$/s.exec(inside);
  const [, kind, target] = match ?? [];
  if (kind === undefined || target === undefined)
    return refuse(`has ${quote(`\${${inside}}`)}`, "expected ${file:PATH} or ${env:NAME} ($${ for a literal ${)");
  return kind === "env" ? fromEnvironment(target, sources.env) : fromFile(resolveFrom(folderOf(yamlPath), target), sources.reader);
}

function fromEnvironment(name: string, env: SiteEnvironment): Interpolation {
  const text = Object.hasOwn(env, name) ? env[name] : undefined;
  if (text === undefined) return refuse(`needs the environment variable ${name}`, "which is not set");
  return text === "" ? refuse(`needs the environment variable ${name}`, "which is empty") : { ok: true, text };
}

function fromFile(path: string, reader: SiteReader): Interpolation {
  const read = reader.readFile(path);
  if (!read.ok) return refuse(`needs the file ${path}`, read.missing ? "which does not exist" : `which cannot be read: ${read.reason}`);
  if (read.value.length > valueBytesMax)
    return refuse(`needs the file ${path}`, `which has ${read.value.length} bytes, more than ${valueBytesMax}`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(read.value).replace(/\r?\n$/, "");
    return text === "" ? refuse(`needs the file ${path}`, "which is empty") : { ok: true, text };
  } catch {
    return refuse(`needs the file ${path}`, "which is not valid UTF-8");
  }
}

function refuse(what: string, expected: string): Interpolation {
  return { ok: false, what, expected };
}
