// The status page of tidegate: read-only, one request every two seconds, nothing loaded from elsewhere.
import { render } from "preact";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { View } from "./api";
import { RANGES, rangeMinutes, useChoice } from "./address";
import { App } from "./app";
import { Apps } from "./apps";
import { useDark } from "./colour";
import { ABSENT, bytes, clock, cores, duration, isNumber, percent } from "./format";
import { Doctor } from "./doctor";
import { Host } from "./host";
import { Leases } from "./leases";
import { ContentionMap } from "./map";
import { usePolled, useSecond } from "./poll";
import type { Polled } from "./poll";
import { Spark } from "./spark";
import { Skill, Variants } from "./variants";
import { Why } from "./why";
import "./page.css";

function Section({ id, title, note, children }: { id: string; title: string; note?: string; children: ComponentChildren }) {
  return (
    <section id={id} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>
        {title} {note && <small>{note}</small>}
      </h2>
      {children}
    </section>
  );
}

/** One word for how the daemon is, and the colour of its dot. */
function health({ view, error, stale }: Polled): [string, string] {
  if (error) return ["bad", "not reachable"];
  if (stale) return ["bad", "stale"];
  if (!view || view.made_utc_ms === 0) return ["warn", "starting"];
  if ((view.self_cost.shed_level ?? 0) > 0) return ["warn", "shedding"];
  return ["good", "live"];
}

function Header({ polled, range, setRange }: { polled: Polled; range: string; setRange: (range: string) => void }) {
  const { view } = polled;
  const [kind, word] = health(polled);
  return (
    <header class="top">
      <h1>
        <img src="icon.svg" alt="" width="26" height="26" /> tidegate
      </h1>
      <span class="host">{view?.host.name ?? ""}</span>
      {view && <span class={`chip mode-${view.mode}`} title="How far tidegate may go at most">{view.mode}</span>}
      {view?.paused && <span class="chip warn">paused</span>}
      <span class={`health ${kind}`} role="status">{word}</span>
      <span class="grow" />
      <label class="range">
        <span class="hidden">Time shown</span>
        <select value={range} onChange={(event) => setRange(event.currentTarget.value)}>
          {RANGES.map(([name]) => (
            <option key={name} value={name}>{`last ${name}`}</option>
          ))}
        </select>
      </label>
    </header>
  );
}

function Tile({ title, value, note, children, alarm }: { title: string; value: string; note: string; children?: ComponentChildren; alarm?: boolean }) {
  return (
    <div class={alarm ? "tile alarm" : "tile"}>
      <div class="tile-title">{title}</div>
      <div class="tile-value">{value}</div>
      <div class="faint">{note}</div>
      {children}
    </div>
  );
}

function NextOnset({ view, now }: { view: View; now: number }) {
  const ongoing = view.map.rows.filter((row) => row.ongoing_since_utc_ms);
  const ahead = view.map.rows
    .filter((row) => row.onset_utc_ms && !row.ongoing_since_utc_ms && row.onset_utc_ms.q90 > now)
    .sort((left, right) => (left.onset_utc_ms?.q50 ?? 0) - (right.onset_utc_ms?.q50 ?? 0));
  const first = ongoing[0];
  if (first) {
    const others = ongoing.length > 1 ? ` and ${ongoing.length - 1} more` : "";
    return <Tile title="Contention now" value={first.unit} note={`for ${duration((now - (first.ongoing_since_utc_ms ?? now)) / 1e3)}${others}`} alarm />;
  }
  const next = ahead[0];
  if (!next?.onset_utc_ms) return <Tile title="Next onset" value={ABSENT} note="none is foreseen" />;
  const seconds = (next.onset_utc_ms.q50 - now) / 1e3;
  return (
    <Tile title="Next onset" value={seconds > 0 ? duration(seconds) : "due"} note={`${next.unit}, at ${clock(next.onset_utc_ms.q50)}`} />
  );
}

function Tiles({ view, now }: { view: View; now: number }) {
  const host = view.now;
  const waits = [host.cpu_waiting_ratio, host.memory_waiting_ratio, host.io_waiting_ratio];
  const worst = waits.filter(isNumber).reduce<number | null>((most, share) => Math.max(most ?? 0, share), null);
  const active = view.plan.leases.filter((lease) => lease.state === "active").length;
  return (
    <div class="tiles">
      <NextOnset view={view} now={now} />
      <Tile title="CPU" value={`${cores(host.cpu_busy_cores)} cores`} note={`of ${cores(host.cpu_capacity_cores)}`}>
        <Spark values={host.sparks.cpu_cores} label="CPU of the host" top={host.cpu_capacity_cores ?? view.host.cpus} />
      </Tile>
      <Tile title="Memory" value={bytes(host.memory_used_bytes)} note={`of ${bytes(host.memory_total_bytes)}`}>
        <Spark values={host.sparks.memory_mib} label="Memory of the host" tone="memory" top={(host.memory_total_bytes ?? 1) / 1048576} />
      </Tile>
      <Tile title="Waiting" value={percent(worst)} note={`CPU ${percent(waits[0])}, memory ${percent(waits[1])}, I/O ${percent(waits[2])}`}>
        <Spark values={host.sparks.waiting_ratio} label="Waiting of the host" top={0.5} tone="waiting" />
      </Tile>
      <Tile title="Leases" value={String(active)} note={`in effect, ${view.plan.leases.length - active} ahead`} />
    </div>
  );
}

function Notices({ view }: { view: View }) {
  if (!view.notices.length) return <p class="empty">Nothing to say.</p>;
  return (
    <ul class="notices">
      {view.notices.slice(0, 12).map((notice) => (
        <li key={notice.at_utc_ms + notice.text} class={notice.severity}>
          <time dateTime={new Date(notice.at_utc_ms).toISOString()}>{clock(notice.at_utc_ms)}</time> {notice.text}
        </li>
      ))}
    </ul>
  );
}

function Footer({ view }: { view: View }) {
  const cost = view.self_cost;
  return (
    <footer>
      <p>
        tidegate {view.host.version} itself: {percent(cost.cpu_cores, 1)} of a core, {bytes(cost.memory_bytes)},{" "}
        {cost.descriptors ?? ABSENT} descriptors, last sample {isNumber(cost.tick_late_s) ? `${(cost.tick_late_s * 1e3).toFixed(1)} ms` : ABSENT} late,
        up {duration(view.uptime_s)}.
      </p>
      <p>
        {view.host.cpu_model}, {view.host.cpus} CPUs, Linux {view.host.kernel}, {view.host.layout}.{" "}
        <a href="openapi.json">API</a> · <a href="metrics">Metrics</a>
      </p>
    </footer>
  );
}

interface BodyProps {
  polled: Polled;
  minutes: number;
  why: (id: string) => void;
  show: (name: string) => void;
}

function Body({ polled, minutes, why, show }: BodyProps) {
  const dark = useDark();
  useSecond();
  const { view, heat } = polled;
  if (!view || view.made_utc_ms === 0) return null;
  const now = polled.now();
  const shared = { view, minutes, dark };
  return (
    <main>
      <Tiles view={view} now={now} />
      <Section id="map" title="Contention map" note="what will be short, and when">
        <ContentionMap {...shared} minutes={Math.min(minutes, 60)} heat={heat ?? { window_s: 0, units: [], columns: [] }} now={now} why={why} />
      </Section>
      <Section id="acts" title="Leases and actions" note="what was foreseen, done and seen">
        <Leases view={view} minutes={minutes} now={now} why={why} />
      </Section>
      <Section id="host" title="Host" note="shaded while a lease was in effect">
        <Host {...shared} now={polled.now} />
      </Section>
      <Section id="running" title="Apps">
        <Apps view={view} show={show} />
      </Section>
      <div class="pair">
        <Section id="code" title="Variants" note="hot functions, compiled for a scenario">
          <Variants view={view} />
        </Section>
        <Section id="scores" title="Skill" note="untreated predictions only">
          <Skill view={view} />
        </Section>
      </div>
      <Section id="said" title="Notices">
        <Notices view={view} />
        <Doctor />
      </Section>
      <Footer view={view} />
    </main>
  );
}

function Trouble({ polled }: { polled: Polled }) {
  const { view, error, stale } = polled;
  if (error) {
    const since = view ? ` What is shown is from ${clock(view.made_utc_ms)}.` : "";
    return <div class="trouble" role="alert">The daemon does not answer ({error}). Asking again every two seconds.{since}</div>;
  }
  if (stale && view) {
    return <div class="trouble" role="alert">The daemon answers, but its loop has not turned since {clock(view.made_utc_ms)}.</div>;
  }
  if (!view) return <div class="loading">Asking the daemon…</div>;
  if (view.made_utc_ms === 0) return <div class="loading">The daemon is starting; the first sample is a second away.</div>;
  return null;
}

function Page() {
  const polled = usePolled();
  const [range, setRange] = useChoice("range", "30m");
  const [about, setAbout] = useChoice("why", "");
  const [shown, setShown] = useChoice("show", "");
  const name = polled.view?.host.name;
  useEffect(() => {
    document.title = name ? `tidegate · ${name}` : "tidegate";
  }, [name]);
  return (
    <>
      <Header polled={polled} range={range} setRange={setRange} />
      <Trouble polled={polled} />
      <Body polled={polled} minutes={rangeMinutes(range)} why={setAbout} show={setShown} />
      {shown && polled.view && (
        <App name={shown} view={polled.view} close={() => setShown("")} why={setAbout} />
      )}
      {about && <Why id={about} close={() => setAbout("")} />}
    </>
  );
}

const holder = document.getElementById("page");
if (holder) {
  holder.replaceChildren();
  render(<Page />, holder);
}
