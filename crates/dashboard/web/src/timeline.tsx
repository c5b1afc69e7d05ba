// Lanes of time: what was foreseen, what was done, what came.
import { useEffect, useRef } from "preact/hooks";
import type { ContentionRow, LeaseRow, MapRow, View } from "./api";
import { follow, point } from "./crosshair";
import { clock, percent } from "./format";

/** The share of the picture that lies ahead of now. */
const AHEAD = 0.18;
/** Lanes of units and lanes of apps: each kind keeps its place, however many of the other there are. */
const MOST_LANES = 7;

interface Bar {
  key: string;
  from: number;
  to: number;
  kind: string;
  label: string;
  why?: string;
}

interface Lane {
  name: string;
  bars: Bar[];
}

export function leaseKind(lease: LeaseRow): string {
  if (lease.state === "refused") return "refused";
  if (lease.state === "ahead") return "ahead";
  if (lease.outcome.happened === true) return "hit";
  if (lease.outcome.happened === false) return "false";
  return lease.state === "active" ? "active" : "open";
}

function leaseBar(lease: LeaseRow): Bar {
  return {
    key: `l${lease.id}`,
    from: lease.start_utc_ms,
    to: lease.end_utc_ms,
    kind: leaseKind(lease),
    label: `Lease ${lease.id}: ${lease.app} at ${lease.asked.text}, ${clock(lease.start_utc_ms)} to ${clock(lease.end_utc_ms)}`,
    why: String(lease.id),
  };
}

function contentionBar(event: ContentionRow, now: number): Bar {
  return {
    key: `c${event.unit}${event.begin_utc_ms}`,
    from: event.begin_utc_ms,
    to: event.end_utc_ms ?? now,
    kind: event.treatment === "untreated" ? "seen" : "eased",
    label: `Contention of ${event.unit} from ${clock(event.begin_utc_ms)}, waiting up to ${percent(event.peak_waiting_ratio)}`,
  };
}

function onsetBars(row: MapRow): Bar[] {
  const onset = row.onset_utc_ms;
  if (!onset || row.ongoing_since_utc_ms) return [];
  const end = row.end_utc_ms?.q50 ?? onset.q90;
  const label = `${row.unit} expected at ${clock(onset.q50)} (80 %: ${clock(onset.q10)} to ${clock(onset.q90)})`;
  return [
    { key: `e${row.id}`, from: onset.q10, to: Math.max(end, onset.q90), kind: "foreseen", label, why: `p${row.id}` },
    { key: `m${row.id}`, from: onset.q10, to: onset.q90, kind: "onset", label, why: `p${row.id}` },
  ];
}

/** Per unit what was foreseen and seen, per app what was done; those with something to show. */
function lanesOf(view: View, from: number, to: number, now: number): Lane[] {
  const units = new Map<string, Bar[]>();
  const apps = new Map<string, Bar[]>();
  const add = (lanes: Map<string, Bar[]>, name: string, bar: Bar) => {
    if (bar.to < from || bar.from > to) return;
    lanes.set(name, [...(lanes.get(name) ?? []), bar]);
  };
  for (const row of view.map.rows) onsetBars(row).forEach((bar) => add(units, row.unit, bar));
  for (const event of view.contention) add(units, event.unit, contentionBar(event, now));
  for (const lease of [...view.plan.leases, ...view.actions]) add(apps, `→ ${lease.app}`, leaseBar(lease));
  const shown = [...[...units].slice(0, MOST_LANES), ...[...apps].slice(0, MOST_LANES)];
  return shown.map(([name, bars]) => ({ name, bars }));
}

interface Props {
  view: View;
  minutes: number;
  now: number;
  why: (id: string) => void;
}

export function Timeline({ view, minutes, now, why }: Props) {
  const past = minutes * 60_000;
  const from = now - past;
  const to = now + (past * AHEAD) / (1 - AHEAD);
  const share = (at: number) => `${(((at - from) / (to - from)) * 100).toFixed(2)}%`;
  const box = useRef<HTMLDivElement>(null);
  const span = useRef({ from, to });
  span.current = { from, to };
  useEffect(
    () =>
      follow((at) => {
        const place = at === null ? -1 : (at - span.current.from) / (span.current.to - span.current.from);
        box.current?.style.setProperty("--at", String(place));
        box.current?.classList.toggle("pointed", place >= 0 && place <= 1);
      }),
    [],
  );
  const moved = (event: PointerEvent) => {
    const lane = (event.target as HTMLElement).closest(".lane");
    if (!lane) return point(null, box);
    const { left, width } = lane.getBoundingClientRect();
    point(from + ((event.clientX - left) / width) * (to - from), box);
  };

  const lanes = lanesOf(view, from, to, now);
  if (!lanes.length) return <p class="empty">Nothing was foreseen, done or seen in this time.</p>;
  const ticks = [0, 0.25, 0.5, 0.75].map((part) => from + part * past);
  return (
    <div class="timeline" ref={box} onPointerMove={moved} onPointerLeave={() => point(null, box)}>
      {lanes.map((lane) => (
        <div class="lane-row" key={lane.name}>
          <div class="lane-name" title={lane.name}>{lane.name}</div>
          <div class="lane">
            <div class="ahead-of-now" style={{ left: share(now) }} />
            {lane.bars.map((bar) => {
              const left = Math.max(bar.from, from);
              const style = { left: share(left), width: `max(3px, ${(((Math.min(bar.to, to) - left) / (to - from)) * 100).toFixed(2)}%)` };
              return bar.why ? (
                <button key={bar.key} class={`bar ${bar.kind}`} style={style} title={bar.label} aria-label={bar.label} onClick={() => why(bar.why ?? "")} />
              ) : (
                <div key={bar.key} class={`bar ${bar.kind}`} style={style} title={bar.label} />
              );
            })}
          </div>
        </div>
      ))}
      <div class="lane-row ticks" aria-hidden="true">
        <div class="lane-name" />
        <div class="lane-ticks">
          {ticks.map((at) => (
            <span key={at} style={{ left: share(at) }}>{clock(at).slice(0, 5)}</span>
          ))}
          <span class="now" style={{ left: share(now) }}>now</span>
        </div>
      </div>
    </div>
  );
}
