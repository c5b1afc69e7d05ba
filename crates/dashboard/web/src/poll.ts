// Asks the daemon again and again, and knows how old the answer is.
import { useEffect, useRef, useState } from "preact/hooks";
import type { HeatView, View } from "./api";

const INTERVAL_MS = 2_000;
/** A snapshot that has not moved for this long means that the loop does not turn. */
const STALE_MS = 10_000;

export async function fetchJson<T>(address: string, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(address, signal ? { signal } : {});
  const body: unknown = await answer.json();
  if (!answer.ok) {
    const detail = (body as { detail?: unknown }).detail;
    throw new Error(typeof detail === "string" ? detail : `status ${answer.status}`);
  }
  return body as T;
}

export interface Polled {
  view: View | null;
  heat: HeatView | null;
  /** Why the last question was not answered. */
  error: string | null;
  /** True while answers come but the snapshot in them does not move. */
  stale: boolean;
  /** The daemon's clock now, in milliseconds since the Unix epoch, however wrong this browser's clock is. */
  now: () => number;
}

interface Clock {
  made: number;
  seenAt: number;
}

/** The view, asked for every two seconds; a hidden tab asks for nothing. */
export function usePolled(): Polled {
  const [view, setView] = useState<View | null>(null);
  const [heat, setHeat] = useState<HeatView | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [stale, setStale] = useState(false);
  const clock = useRef<Clock>({ made: 0, seenAt: 0 });
  const mapMade = useRef(-1);

  useEffect(() => {
    let timer = 0;
    const abort = new AbortController();
    const ask = async () => {
      try {
        const next = await fetchJson<View>("api/v1/view", abort.signal);
        if (next.made_utc_ms !== clock.current.made) {
          clock.current = { made: next.made_utc_ms, seenAt: performance.now() };
        }
        setStale(next.made_utc_ms !== 0 && performance.now() - clock.current.seenAt > STALE_MS);
        if (next.map.made_utc_ms !== mapMade.current) {
          setHeat(await fetchJson<HeatView>("api/v1/heat", abort.signal));
          mapMade.current = next.map.made_utc_ms;
        }
        setView(next);
        setError(null);
      } catch (reason) {
        if (abort.signal.aborted) return;
        setError(reason instanceof Error ? reason.message : String(reason));
      }
    };
    const turn = async () => {
      if (!document.hidden) await ask();
      if (!abort.signal.aborted) timer = setTimeout(turn, INTERVAL_MS);
    };
    const shown = () => {
      if (!document.hidden) void ask();
    };
    void turn();
    document.addEventListener("visibilitychange", shown);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, []);

  const now = () => clock.current.made + (performance.now() - clock.current.seenAt);
  return { view, heat, error, stale, now };
}

/** Re-renders once a second, for countdowns. */
export function useSecond(): void {
  const [, turn] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => turn((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
}
