import { collectDefaultMetrics, Registry } from "prom-client";
import type { MetricSample } from "../gateway/service.ts";

/** `/metrics` in Prometheus's text format 0.0.4: what the gateway counts, then what the process uses. */

export const metricsMediaType = "text/plain; version=0.0.4; charset=utf-8";

/** A registry of its own for the process metrics: nothing global, so that several APIs can live in one process. */
export function processMetrics(): () => Promise<string> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return () => registry.metrics();
}

/** Samples of one name stand together under one HELP and TYPE line, as the format demands, wherever they come in the list. */
export function formatSamples(samples: readonly MetricSample[]): string {
  const byName = new Map<string, MetricSample[]>();
  for (const sample of samples) {
    const known = byName.get(sample.name);
    if (known === undefined) byName.set(sample.name, [sample]);
    else known.push(sample);
  }
  let text = "";
  for (const [name, family] of byName) {
    text += `# HELP ${name} ${escapeHelp(family[0]?.help ?? "")}\n# TYPE ${name} ${name.endsWith("_total") ? "counter" : "gauge"}\n`;
    for (const { labels, value } of family) text += `${name}${formatLabels(labels)} ${formatValue(value)}\n`;
  }
  return text;
}

function formatLabels(labels: MetricSample["labels"]): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => `${name}="${escapeHelp(value).replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

function formatValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}
