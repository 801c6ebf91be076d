/** What an aggregate may be and what rows may be grouped by: shared by settings, the series engine and the API. */

export type AggregateFunction =
  | { readonly kind: "count" | "sum" | "min" | "max" | "mean" | "first" | "last" }
  | { readonly kind: "quantile"; readonly q: number };

export type GroupKey = { readonly kind: "device" } | { readonly kind: "metric" } | { readonly kind: "label"; readonly name: string };

const simpleKinds = ["count", "sum", "min", "max", "mean", "first", "last"] as const;

/** `mean`, `quantile(0.95)`, …; `undefined` when the text is none. */
export function parseAggregateFunction(text: string): AggregateFunction | undefined {
  const simple = simpleKinds.find((kind) => kind === text);
  if (simple !== undefined) return { kind: simple };
  const quantile = /^quantile\((0(?:\.\d+)?|1(?:\.0+)?|\.\d+)\)$/.exec(text);
  return quantile === null ? undefined : { kind: "quantile", q: Number(quantile[1]) };
}

export function formatAggregateFunction(aggregate: AggregateFunction): string {
  return aggregate.kind === "quantile" ? `quantile(${aggregate.q})` : aggregate.kind;
}
