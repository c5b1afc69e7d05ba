// The apps: who they are, what they use, where they wait.
import { useMemo } from "preact/hooks";
import type { AppRow, Sparks, View } from "./api";
import { useChoice } from "./address";
import { ABSENT, bytes, cores, isNumber, percent, perSecond } from "./format";
import { Spark } from "./spark";

const FIRST_APPS = 25;
const NO_SPARKS: Sparks = { cpu_cores: [], memory_mib: [], waiting_ratio: [] };

function waiting(app: AppRow): number | null {
  const shares = [
    app.cpu_waiting_ratio,
    isNumber(app.cpu_throttled_ratio) ? Math.min(1, app.cpu_throttled_ratio) : null,
    app.memory_waiting_ratio,
    app.io_waiting_ratio,
  ].filter(isNumber);
  return shares.length ? Math.max(...shares) : null;
}

const sum = (left: number | null | undefined, right: number | null | undefined): number | null =>
  isNumber(left) || isNumber(right) ? (left ?? 0) + (right ?? 0) : null;

const disk = (app: AppRow) => sum(app.disk_read_bytes_per_second, app.disk_write_bytes_per_second);
const net = (app: AppRow) => sum(app.net_rx_bytes_per_second, app.net_tx_bytes_per_second);

const CLASS_ORDER = { critical: 2, standard: 1, batch: 0 };

const KEYS: { [column: string]: (app: AppRow) => number | string | null } = {
  name: (app) => app.name,
  class: (app) => CLASS_ORDER[app.class],
  cpu: (app) => app.cpu_cores ?? null,
  memory: (app) => app.memory_bytes ?? null,
  waiting,
  disk,
  net,
};

function compare(left: number | string | null, right: number | string | null): number {
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  if (typeof left === "string" || typeof right === "string") return String(left).localeCompare(String(right));
  return right - left;
}

function sorted(apps: AppRow[], sort: string): AppRow[] {
  const backwards = sort.startsWith("-");
  const key = KEYS[backwards ? sort.slice(1) : sort] ?? KEYS.cpu;
  if (!key) return apps;
  const order = [...apps].sort((left, right) => compare(key(left), key(right)) || left.name.localeCompare(right.name));
  return backwards ? order.reverse() : order;
}

interface HeaderProps {
  column: string;
  title: string;
  sort: string;
  setSort: (sort: string) => void;
  class?: string;
}

function Header({ column, title, sort, setSort, class: className }: HeaderProps) {
  const here = sort === column || sort === `-${column}`;
  const numeric = column !== "name";
  const down = numeric !== sort.startsWith("-");
  return (
    <th class={className} aria-sort={here ? (down ? "descending" : "ascending") : "none"}>
      <button class="sort" onClick={() => setSort(sort === column ? `-${column}` : column)}>
        {title}
        <span aria-hidden="true">{here ? (down ? " ▾" : " ▴") : ""}</span>
      </button>
    </th>
  );
}

function Row({ app, show }: { app: AppRow; show: (name: string) => void }) {
  const waits = waiting(app);
  const sparks = app.sparks ?? NO_SPARKS;
  const mode = app.untouchable ? "untouchable" : app.modes.cpu ?? "observe";
  const about = [app.executable, app.user && `user ${app.user}`, `group of ${app.owner}`, app.untouchable].filter(Boolean);
  return (
    <tr>
      <th scope="row" title={about.join(" · ")}>
        <button class="link name" onClick={() => show(app.name)}>{app.name}</button>
        <span class={`narrow faint class-${app.class}`}>{app.class}</span>
      </th>
      <td class="wide">
        <span class={`tag class-${app.class}`}>{app.class}</span>
      </td>
      <td class="wide faint">{mode}</td>
      <td class="number">
        {cores(app.cpu_cores)}
        {isNumber(app.cpu_limit_cores) && <span class="faint"> / {cores(app.cpu_limit_cores)}</span>}
      </td>
      <td class="wide">
        <Spark values={sparks.cpu_cores} label={`CPU of ${app.name}`} />
      </td>
      <td class="number">{bytes(app.memory_bytes)}</td>
      <td class="wide">
        <Spark values={sparks.memory_mib} label={`Memory of ${app.name}`} tone="memory" />
      </td>
      <td class={`number ${isNumber(waits) && waits >= 0.1 ? "hot" : ""}`}>{percent(waits)}</td>
      <td class="wide">
        <Spark values={sparks.waiting_ratio} label={`Waiting of ${app.name}`} top={1} tone="waiting" />
      </td>
      <td class="number wide">{perSecond(disk(app))}</td>
      <td class="number wide">{perSecond(net(app))}</td>
    </tr>
  );
}

export function Apps({ view, show }: { view: View; show: (name: string) => void }) {
  const [sort, setSort] = useChoice("sort", "cpu");
  const [find, setFind] = useChoice("app", "");
  const [only, setOnly] = useChoice("class", "");
  const [all, setAll] = useChoice("apps", "");
  const found = useMemo(() => {
    const wanted = find.toLowerCase();
    const kept = view.apps.filter(
      (app) => app.name.toLowerCase().includes(wanted) && (only === "" || app.class === only),
    );
    return sorted(kept, sort);
  }, [view.apps, find, only, sort]);
  const shown = all ? found : found.slice(0, FIRST_APPS);
  const header = (column: string, title: string, className?: string) => (
    <Header column={column} title={title} sort={sort} setSort={setSort} {...(className ? { class: className } : {})} />
  );
  return (
    <>
      <div class="tools">
        <input
          type="search"
          value={find}
          placeholder="Find an app"
          aria-label="Find an app"
          onInput={(event) => setFind(event.currentTarget.value)}
        />
        <select value={only} aria-label="Class" onChange={(event) => setOnly(event.currentTarget.value)}>
          <option value="">all classes</option>
          <option value="critical">critical</option>
          <option value="standard">standard</option>
          <option value="batch">batch</option>
        </select>
        <span class="faint">
          {found.length} of {view.apps_total}
        </span>
      </div>
      {shown.length === 0 ? (
        <p class="empty">{view.apps_total === 0 ? "No app was found yet." : "No app is called so."}</p>
      ) : (
        <div class="scroll">
          <table id="apps">
            <thead>
              <tr>
                {header("name", "App")}
                {header("class", "Class", "wide")}
                <th class="wide">Mode</th>
                {header("cpu", "CPU cores", "number")}
                <th class="wide"><span class="hidden">Recent CPU</span></th>
                {header("memory", "Memory", "number")}
                <th class="wide"><span class="hidden">Recent memory</span></th>
                {header("waiting", "Waits", "number")}
                <th class="wide"><span class="hidden">Recent waiting</span></th>
                {header("disk", "Disk", "number wide")}
                {header("net", "Network", "number wide")}
              </tr>
            </thead>
            <tbody>
              {shown.map((app) => (
                <Row key={app.name} app={app} show={show} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > FIRST_APPS && (
        <button class="quiet" onClick={() => setAll(all ? "" : "all")}>
          {all ? "Show the first" : `Show all ${found.length}`}
        </button>
      )}
      {view.apps.length < view.apps_total && (
        <p class="faint">The busiest {view.apps.length} are here; <code>tidegate apps</code> lists all {view.apps_total}.</p>
      )}
      {!view.apps.some((app) => waiting(app) !== null) && view.apps.length > 0 && (
        <p class="faint">Waiting is {ABSENT}: this kernel does not offer pressure per group.</p>
      )}
    </>
  );
}
