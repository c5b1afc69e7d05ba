// The host over the chosen time: CPU in use and waiting, from the store.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { LeaseRow, Series, View } from "./api";
import { cssColour } from "./colour";
import { follow, point } from "./crosshair";
import { fetchJson } from "./poll";

const REFRESH_MS = 10_000;
const HEIGHT = 150;
const POINTS = 400;

interface Picture {
  field: string;
  title: string;
  colour: string;
  /** A level to draw beside it. */
  ceiling?: number;
  format: (value: number) => string;
}

function useSeries(field: string, minutes: number, now: () => number): [Series | null, string | null] {
  const [series, setSeries] = useState<Series | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const ask = () => {
      const to = Math.round(now());
      const from = to - minutes * 60_000;
      const query = `entity=host&field=${field}&from_utc_ms=${from}&to_utc_ms=${to}&points=${POINTS}`;
      fetchJson<Series>(`api/v1/series?${query}`, abort.signal).then(
        (next) => {
          setSeries(next);
          setError(null);
        },
        (reason) => {
          if (!abort.signal.aborted) setError(reason instanceof Error ? reason.message : String(reason));
        },
      );
    };
    ask();
    const timer = setInterval(ask, REFRESH_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [field, minutes]);
  return [series, error];
}

/** Shades the time in which leases were in effect, behind the curve. */
function shadeLeases(plot: uPlot, leases: LeaseRow[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = cssColour("--lease-shade");
  for (const lease of leases) {
    if (lease.state === "ahead" || lease.state === "refused") continue;
    const left = Math.max(plot.valToPos(lease.start_utc_ms / 1e3, "x", true), bbox.left);
    const right = Math.min(plot.valToPos(lease.end_utc_ms / 1e3, "x", true), bbox.left + bbox.width);
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

function options(picture: Picture, width: number, leases: () => LeaseRow[]): uPlot.Options {
  const axis = { stroke: cssColour("--ink-faint"), grid: { stroke: cssColour("--line"), width: 1 }, ticks: { show: false } };
  const colour = cssColour(picture.colour);
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: { x: { time: true }, y: { range: (_plot, _least, most) => [0, Math.max(picture.ceiling ?? 0, most * 1.1, 0.01)] } },
    axes: [
      { ...axis, size: 26, values: (_plot, ticks) => ticks.map((tick) => new Date(tick * 1e3).toTimeString().slice(0, 5)) },
      { ...axis, size: 48, values: (_plot, ticks) => ticks.map(picture.format) },
    ],
    series: [
      {},
      { label: "maximum", stroke: `${colour}55`, width: 1, points: { show: false } },
      { label: "mean", stroke: colour, width: 1.5, fill: `${colour}22`, points: { show: false } },
    ],
    hooks: {
      drawClear: [(plot) => shadeLeases(plot, leases())],
      setCursor: [
        (plot) => {
          // Set by hand, not by following: only the picture under the pointer speaks.
          if (!plot.root.matches(":hover")) return;
          const left = plot.cursor.left ?? -1;
          point(left < 0 ? null : plot.posToVal(left, "x") * 1e3, plot);
        },
      ],
    },
  };
}

interface ChartProps {
  picture: Picture;
  minutes: number;
  view: View;
  dark: boolean;
  now: () => number;
}

function Chart({ picture, minutes, view, dark, now }: ChartProps) {
  const [series, error] = useSeries(picture.field, minutes, now);
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const leases = useRef<LeaseRow[]>([]);
  leases.current = [...view.actions, ...view.plan.leases];
  useEffect(() => {
    const holder = box.current;
    if (!holder || !series) return;
    const data: uPlot.AlignedData = [series.at_utc_ms.map((at) => at / 1e3), series.maximum, series.mean];
    if (plot.current) {
      plot.current.setData(data);
      return;
    }
    plot.current = new uPlot(options(picture, holder.clientWidth, () => leases.current), data, holder);
  }, [series, dark]);
  useEffect(
    () => () => {
      // Colours are part of the picture: another theme is another picture.
      plot.current?.destroy();
      plot.current = null;
    },
    [dark],
  );
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const width = entry?.contentRect.width ?? 0;
      if (width > 0) plot.current?.setSize({ width, height: HEIGHT });
    });
    if (box.current) observer.observe(box.current);
    const stop = follow((at, from) => {
      const chart = plot.current;
      if (!chart || from === chart) return;
      const left = at === null ? -10 : chart.valToPos(at / 1e3, "x");
      chart.setCursor({ left, top: left < 0 ? -10 : 0 }, false);
    });
    return () => {
      observer.disconnect();
      stop();
    };
  }, []);
  const empty = series && series.at_utc_ms.length === 0;
  return (
    <figure class="chart">
      <figcaption>{picture.title}</figcaption>
      <div ref={box} class="plot" />
      {error && <p class="empty">{error}</p>}
      {empty && <p class="empty">Nothing was recorded in this time.</p>}
    </figure>
  );
}

export function Host({ view, minutes, dark, now }: Omit<ChartProps, "picture">) {
  const capacity = view.now.cpu_capacity_cores ?? view.host.cpus;
  const pictures: Picture[] = [
    { field: "cpu_busy", title: "CPU in use, cores", colour: "--cpu", ceiling: capacity, format: (value) => value.toFixed(1) },
    { field: "cpu_waiting", title: "Waiting for a CPU, share of time", colour: "--waiting", format: (value) => `${(value * 100).toFixed(0)} %` },
  ];
  return (
    <div class="charts">
      {pictures.map((picture) => (
        <Chart key={picture.field} picture={picture} minutes={minutes} view={view} dark={dark} now={now} />
      ))}
    </div>
  );
}
