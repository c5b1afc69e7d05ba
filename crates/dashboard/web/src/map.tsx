// The contention map: each unit's past as a strip of heat, its windows as cells, its next onset.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ContentionRow, HeatView, MapRow, View } from "./api";
import { cssColour, heatColour, inkOn } from "./colour";
import { follow, point } from "./crosshair";
import { ABSENT, clock, duration, percent, windowName } from "./format";

/** Rows before "show all": what fits a screen. */
const FIRST_UNITS = 12;
/** Maps are made every ten seconds; a longer silence is a gap and stays empty. */
const LONGEST_COLUMN_MS = 30_000;

interface Span {
  from: number;
  to: number;
}

interface StripProps {
  unit: string;
  heat: HeatView;
  events: ContentionRow[];
  span: Span;
  dark: boolean;
}

function drawStrip(canvas: HTMLCanvasElement, { unit, heat, events, span, dark }: StripProps): void {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, width, height);
  const place = (utcMs: number) => ((utcMs - span.from) / (span.to - span.from)) * width;
  const row = heat.units.indexOf(unit);
  heat.columns.forEach((column, number) => {
    const probability = column.probability[row];
    if (probability === null || probability === undefined) return;
    const next = heat.columns[number + 1]?.at_utc_ms ?? span.to;
    const end = Math.min(next, column.at_utc_ms + LONGEST_COLUMN_MS);
    const left = Math.floor(place(column.at_utc_ms));
    context.fillStyle = heatColour(probability, dark);
    context.fillRect(left, 0, Math.max(1, Math.ceil(place(end)) - left), height);
  });
  for (const event of events) {
    if (event.unit !== unit) continue;
    const left = place(event.begin_utc_ms);
    const right = Math.max(place(event.end_utc_ms ?? span.to), left + 2 * scale);
    context.fillStyle = cssColour(event.treatment === "untreated" ? "--alarm" : "--calm");
    context.fillRect(left, height - 4 * scale, right - left, 4 * scale);
  }
}

function Strip(props: StripProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    if (canvas.current) drawStrip(canvas.current, props);
  }, [props.heat, props.events, props.span.to, props.span.from, props.dark, props.unit]);
  useEffect(() => {
    const observer = new ResizeObserver(() => canvas.current && drawStrip(canvas.current, latest.current));
    if (canvas.current) observer.observe(canvas.current);
    return () => observer.disconnect();
  }, []);
  return <canvas ref={canvas} class="strip" data-unit={props.unit} aria-hidden="true" />;
}

function probabilityAt(heat: HeatView, unit: string, utcMs: number): number | null {
  const row = heat.units.indexOf(unit);
  const column = heat.columns.findLast((known) => known.at_utc_ms <= utcMs);
  return column?.probability[row] ?? null;
}

function Onset({ row, now }: { row: MapRow; now: number }) {
  if (row.ongoing_since_utc_ms) {
    return <span class="ongoing">now, for {duration((now - row.ongoing_since_utc_ms) / 1e3)}</span>;
  }
  const onset = row.onset_utc_ms;
  if (!onset) return <span class="none">{ABSENT}</span>;
  const ahead = (onset.q50 - now) / 1e3;
  const spread = (onset.q90 - onset.q10) / 2e3;
  return (
    <span title={`median ${clock(onset.q50)}, 80 % within ${clock(onset.q10)} to ${clock(onset.q90)}`}>
      {ahead > 0 ? `in ${duration(ahead)}` : "due"} <span class="faint">± {spread.toFixed(1)} s</span>
    </span>
  );
}

function Cells({ row, dark }: { row: MapRow; dark: boolean }) {
  return (
    <>
      {row.windows.map((window) => (
        <div
          key={window.window_s}
          role="cell"
          class="cell"
          style={{ background: heatColour(window.probability, dark), color: inkOn(window.probability, dark) }}
        >
          {percent(window.probability)}
        </div>
      ))}
    </>
  );
}

function Trust({ row }: { row: MapRow }) {
  const word = row.demoted ? "reactive" : row.trained ? row.source : "learning";
  return (
    <div role="cell" class="trust">
      <meter min={0} max={1} value={row.confidence} title={`confidence ${percent(row.confidence)}`}>
        {percent(row.confidence)}
      </meter>
      <span class={row.demoted ? "tag warn" : "tag"}>{word}</span>
    </div>
  );
}

interface MapProps {
  view: View;
  heat: HeatView;
  minutes: number;
  now: number;
  dark: boolean;
  why: (id: string) => void;
}

/** The units to show, likeliest ones chosen, shown in the order of their names. */
function chosen(rows: MapRow[], all: boolean): MapRow[] {
  if (all || rows.length <= FIRST_UNITS) return rows;
  const worst = (row: MapRow) => row.windows.reduce((most, window) => Math.max(most, window.probability), 0);
  const kept = new Set([...rows].sort((left, right) => worst(right) - worst(left)).slice(0, FIRST_UNITS));
  return rows.filter((row) => kept.has(row));
}

export function ContentionMap({ view, heat, minutes, now, dark, why }: MapProps) {
  const [all, setAll] = useState(false);
  const [pointed, setPointed] = useState<{ unit: string | null; at: number } | null>(null);
  const grid = useRef<HTMLDivElement>(null);
  // Redrawn when the snapshot moves, not each second.
  const span = useMemo(
    () => ({ from: view.made_utc_ms - minutes * 60_000, to: view.made_utc_ms }),
    [view.made_utc_ms, minutes],
  );
  const latest = useRef(span);
  latest.current = span;

  useEffect(
    () =>
      follow((at) => {
        const { from, to } = latest.current;
        const share = at === null ? -1 : (at - from) / (to - from);
        grid.current?.style.setProperty("--at", String(share));
        grid.current?.classList.toggle("pointed", share >= 0 && share <= 1);
        if (at === null) setPointed(null);
      }),
    [],
  );

  const moved = (event: PointerEvent) => {
    const strip = (event.target as HTMLElement).closest<HTMLElement>(".past");
    if (!strip) return point(null, grid);
    const box = strip.getBoundingClientRect();
    const at = span.from + ((event.clientX - box.left) / box.width) * (span.to - span.from);
    point(at, grid);
    setPointed({ unit: strip.dataset.unit ?? null, at });
  };

  const windows = view.map.rows[0]?.windows ?? [];
  const rows = chosen(view.map.rows, all);
  if (!rows.length) {
    return <p class="empty">No forecast yet. The first map is made ten seconds after the start.</p>;
  }
  const readout = pointed?.unit
    ? `${clock(pointed.at)}  ${pointed.unit}  ${percent(probabilityAt(heat, pointed.unit, pointed.at))}`
    : `last ${minutes} min, P within ${windowName(heat.window_s || 60)}`;
  const columns = { "--windows": windows.length } as Record<string, string | number>;
  return (
    <>
      <div
        class="map"
        role="table"
        aria-label="Contention map"
        ref={grid}
        style={columns}
        onPointerMove={moved}
        onPointerLeave={() => point(null, grid)}
      >
        <div role="row" class="row head">
          <div role="columnheader">Unit</div>
          <div role="columnheader" class="readout">{readout}</div>
          {windows.map((window) => (
            <div role="columnheader" class="cell" key={window.window_s}>
              {windowName(window.window_s)}
            </div>
          ))}
          <div role="columnheader">Next onset</div>
          <div role="columnheader" class="trust">Trust</div>
        </div>
        {rows.map((row) => (
          <div role="row" class="row" key={row.unit}>
            <div role="rowheader" class="unit">
              <button class="link" onClick={() => why(`p${row.id}`)} title={`${row.unit}: ${row.reason}`}>
                {row.unit}
              </button>
            </div>
            <div role="cell" class="past" data-unit={row.unit}>
              <Strip unit={row.unit} heat={heat} events={view.contention} span={span} dark={dark} />
            </div>
            <Cells row={row} dark={dark} />
            <div role="cell" class="onset">
              <Onset row={row} now={now} />
            </div>
            <Trust row={row} />
          </div>
        ))}
      </div>
      <div class="legend">
        <span>P</span>
        <span class="ramp" style={{ background: `linear-gradient(90deg, ${[0, 0.2, 0.4, 0.6, 0.8, 1].map((p) => heatColour(p, dark)).join(", ")})` }} />
        <span>0 to 100 %</span>
        <span class="mark alarm" /> <span>contention seen</span>
        <span class="mark calm" /> <span>eased by a lease</span>
        {view.map.rows.length > FIRST_UNITS && (
          <button class="quiet" onClick={() => setAll(!all)}>
            {all ? "Show the likeliest" : `Show all ${view.map.rows.length} units`}
          </button>
        )}
      </div>
    </>
  );
}
