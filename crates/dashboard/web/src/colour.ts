// The colours of probabilities: one ramp per theme, monotone in lightness, so that it reads without hue.
import { useEffect, useState } from "preact/hooks";

type Rgb = [number, number, number];

const DARK: Rgb[] = [
  [24, 34, 50],
  [33, 68, 112],
  [88, 88, 168],
  [186, 82, 142],
  [244, 134, 92],
  [255, 212, 112],
];
const LIGHT: Rgb[] = [
  [233, 239, 246],
  [190, 214, 236],
  [124, 172, 216],
  [104, 112, 190],
  [146, 58, 146],
  [150, 14, 76],
];

export function useDark(): boolean {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const changed = () => setDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return dark;
}

function mix(probability: number, dark: boolean): Rgb {
  const stops = dark ? DARK : LIGHT;
  const place = Math.min(Math.max(probability, 0), 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const share = place - below;
  const from = stops[below] as Rgb;
  const to = stops[below + 1] as Rgb;
  return from.map((value, part) => Math.round(value + ((to[part] as number) - value) * share)) as Rgb;
}

export function heatColour(probability: number, dark: boolean): string {
  return `rgb(${mix(probability, dark).join(" ")})`;
}

/** Black or white, whichever is read better on the heat colour. */
export function inkOn(probability: number, dark: boolean): string {
  const [red, green, blue] = mix(probability, dark).map((value) => {
    const share = value / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.26 ? "#10141b" : "#f5f7fa";
}

export const cssColour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
