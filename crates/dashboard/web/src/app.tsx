// One app: what it is, what may be done to it, where it drives contention, what was done.
import type { AppRow, LeaseRow, MapRow, View } from "./api";
import { ABSENT, bytes, clock, cores, percent, perSecond } from "./format";
import { Panel } from "./panel";
import { Spark } from "./spark";

const MOST_LEASES = 6;

function Facts({ app }: { app: AppRow }) {
  const modes = Object.entries(app.modes).map(([resource, mode]) => `${resource}: ${mode}`);
  const facts: [string, string][] = [
    ["Class", app.class],
    ["May be done", app.untouchable ? `nothing: ${app.untouchable}` : modes.join(", ") || "observe"],
    ["Group of", app.owner],
    ["Groups", app.groups.join(", ") || "none of its own, so it is only observed"],
    ["Executable", app.executable ?? ABSENT],
    ["User", app.user ?? ABSENT],
    ["CPU", `${cores(app.cpu_cores)} cores, ${app.cpu_limit_cores ? `limit ${cores(app.cpu_limit_cores)}` : "no known limit"}`],
    ["Memory", `${bytes(app.memory_bytes)}, ${app.memory_limit_bytes ? `limit ${bytes(app.memory_limit_bytes)}` : "no known limit"}`],
    ["Waits", `CPU ${percent(app.cpu_waiting_ratio)}, memory ${percent(app.memory_waiting_ratio)}, I/O ${percent(app.io_waiting_ratio)}`],
    ["Throttled", percent(app.cpu_throttled_ratio, 1)],
    ["Disk", `${perSecond(app.disk_read_bytes_per_second)} read, ${perSecond(app.disk_write_bytes_per_second)} written`],
    ["Network", `${perSecond(app.net_rx_bytes_per_second)} received, ${perSecond(app.net_tx_bytes_per_second)} sent`],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Driven({ rows, name, why }: { rows: MapRow[]; name: string; why: (id: string) => void }) {
  const driven = rows.filter((row) => row.drivers.some((driver) => driver.app === name));
  if (!driven.length) return <p class="empty">No foreseen contention is driven by it.</p>;
  return (
    <ul class="said">
      {driven.map((row) => (
        <li key={row.unit}>
          <button class="link name" onClick={() => why(`p${row.id}`)}>{row.unit}</button>{" "}
          {percent(row.drivers.find((driver) => driver.app === name)?.share)} of the demand,{" "}
          {percent(row.windows[0]?.probability)} likely
        </li>
      ))}
    </ul>
  );
}

function Done({ leases, why }: { leases: LeaseRow[]; why: (id: string) => void }) {
  if (!leases.length) return <p class="empty">Nothing was done to it or for it.</p>;
  return (
    <ul class="said">
      {leases.slice(0, MOST_LEASES).map((lease) => (
        <li key={lease.id}>
          {clock(lease.start_utc_ms)} <span class="name">{lease.app}</span> {lease.asked.text}{" "}
          <button class="quiet" onClick={() => why(String(lease.id))} aria-label={`Why lease ${lease.id}`}>Why?</button>
        </li>
      ))}
    </ul>
  );
}

interface Props {
  name: string;
  view: View;
  close: () => void;
  why: (id: string) => void;
}

export function App({ name, view, close, why }: Props) {
  const app = view.apps.find((known) => known.name === name);
  const leases = [...view.plan.leases, ...view.actions].filter(
    (lease) => lease.app === name || lease.beneficiary === name,
  );
  return (
    <Panel title={name} close={close}>
      {app ? (
        <>
          {app.sparks && <Spark values={app.sparks.cpu_cores} label={`CPU of ${name}`} />}
          <Facts app={app} />
        </>
      ) : (
        <p class="empty">It is not there now, or it is not among the busiest.</p>
      )}
      <h3>Drives</h3>
      <Driven rows={view.map.rows} name={name} why={why} />
      <h3>Done</h3>
      <Done leases={leases} why={why} />
    </Panel>
  );
}
