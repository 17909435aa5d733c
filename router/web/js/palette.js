// One colour for an expert wherever it appears: by its place in the registry, and grey for the fallback.

const SERIES = 12;
let order = new Map();
let fallback = null;
let learnt = "";

export function learnExperts(experts) {
  const told = JSON.stringify(experts.map((expert) => [expert.id, expert.fallback]));
  if (told === learnt) return; // those that have left keep their places
  learnt = told;
  const own = experts.filter((expert) => !expert.fallback);
  order = new Map(own.map((expert, place) => [expert.id, place]));
  fallback = experts.find((expert) => expert.fallback)?.id ?? null;
}

/** The CSS variable of an expert; one that has left the registry takes a place of its own. */
export function variable(expert) {
  if (expert === fallback) return "--fallback";
  if (!order.has(expert)) order.set(expert, order.size);
  return `--series-${order.get(expert) % SERIES}`;
}

export function tint(expert) {
  return `var(${variable(expert)})`;
}

/** What the colours rest on: where it has changed, whatever has one of them is to be drawn again. */
export const registered = () => learnt;

export function isFallback(expert) {
  return expert === fallback;
}
