// What the reader has chosen lives in the address, so that a link shows the same thing to somebody else.
import { useCallback, useState } from "preact/hooks";

/** A choice that is kept in the address; the default is left out of it. */
export function useChoice(name: string, fallback: string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => new URLSearchParams(location.search).get(name) ?? fallback);
  const choose = useCallback(
    (next: string) => {
      const choices = new URLSearchParams(location.search);
      if (next === fallback) choices.delete(name);
      else choices.set(name, next);
      const query = choices.toString();
      history.replaceState(null, "", query ? `?${query}` : location.pathname);
      setValue(next);
    },
    [name, fallback],
  );
  return [value, choose];
}

/** Ranges that can be chosen, in minutes. */
export const RANGES: [string, number][] = [
  ["10m", 10],
  ["30m", 30],
  ["1h", 60],
  ["6h", 360],
  ["24h", 1440],
];

export const rangeMinutes = (name: string): number => RANGES.find(([known]) => known === name)?.[1] ?? 30;
