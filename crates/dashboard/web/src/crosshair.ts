// One moment that all pictures of time point at.

type Listener = (utcMs: number | null, from: unknown) => void;
const listeners = new Set<Listener>();

/** Calls `listener` whenever the moment moves; returns how to stop. */
export function follow(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Points at `utcMs`, or at nothing; `from` says who did, so that it need not follow itself. */
export function point(utcMs: number | null, from: unknown): void {
  for (const listener of listeners) listener(utcMs, from);
}
