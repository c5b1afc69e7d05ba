// A curve as small as a word.
import { isNumber } from "./format";

interface Props {
  values: (number | null)[];
  label: string;
  /** The curve's top; a little above the greatest value where it is absent. */
  top?: number;
  tone?: "cpu" | "memory" | "waiting";
}

const WIDTH = 90;
const HEIGHT = 22;

/** Line segments between gaps: what was not measured is not drawn. */
function segments(values: (number | null)[], top: number): string[] {
  const step = WIDTH / Math.max(1, values.length - 1);
  const found: string[] = [];
  let points: string[] = [];
  values.forEach((value, place) => {
    if (isNumber(value)) {
      const height = HEIGHT - 1.5 - (Math.min(value, top) / top) * (HEIGHT - 3);
      points.push(`${(place * step).toFixed(1)},${height.toFixed(1)}`);
      return;
    }
    if (points.length > 1) found.push(points.join(" "));
    points = [];
  });
  if (points.length > 1) found.push(points.join(" "));
  return found;
}

export function Spark({ values, label, top, tone = "cpu" }: Props) {
  const greatest = values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
  const lines = segments(values, Math.max(top ?? greatest * 1.3, 1e-9));
  return (
    <svg class={`spark ${tone}`} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} preserveAspectRatio="none">
      {lines.map((points) => (
        <polyline key={points} points={points} />
      ))}
    </svg>
  );
}
