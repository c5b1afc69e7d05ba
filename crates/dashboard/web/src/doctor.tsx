// The doctor's report: what is measured, what is absent, what that costs, what would help.
//
// The report is another room's and may grow without this page knowing: the signals are shown as such where
// they are there, and everything else as nested lists.
import { useState } from "preact/hooks";
import { ABSENT } from "./format";
import { fetchJson } from "./poll";

interface Signal {
  name: string;
  used: boolean;
  detail?: string;
  consequence?: string;
  remedy?: string;
}

function isSignal(value: unknown): value is Signal {
  const signal = value as Partial<Signal> | null;
  return typeof signal?.name === "string" && typeof signal.used === "boolean";
}

function Tree({ value }: { value: unknown }) {
  if (Array.isArray(value)) {
    if (!value.length) return <>{ABSENT}</>;
    return (
      <ul>
        {value.map((item, place) => (
          <li key={place}>
            <Tree value={item} />
          </li>
        ))}
      </ul>
    );
  }
  if (typeof value === "object" && value !== null) {
    return (
      <dl>
        {Object.entries(value).map(([name, item]) => (
          <div key={name}>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>
              <Tree value={item} />
            </dd>
          </div>
        ))}
      </dl>
    );
  }
  return <>{value === null || value === "" ? ABSENT : String(value)}</>;
}

function Signals({ signals }: { signals: Signal[] }) {
  const used = signals.filter((signal) => signal.used);
  const absent = signals.filter((signal) => !signal.used);
  return (
    <>
      <p>
        {used.map((signal) => (
          <>
            <span class="tag kept" key={signal.name} title={signal.detail}>{signal.name}</span>{" "}
          </>
        ))}
      </p>
      <ul class="absent">
        {absent.map((signal) => (
          <li key={signal.name}>
            <span class="tag warn">{signal.name}</span> {signal.consequence}
            {signal.remedy && <div class="faint">{signal.remedy}</div>}
          </li>
        ))}
      </ul>
    </>
  );
}

function Report({ report }: { report: unknown }) {
  const { signals, ...rest } = (typeof report === "object" && report !== null ? report : {}) as { signals?: unknown };
  if (!Array.isArray(signals) || !signals.every(isSignal)) return <Tree value={report} />;
  return (
    <>
      <Signals signals={signals} />
      <Tree value={rest} />
    </>
  );
}

export function Doctor() {
  const [report, setReport] = useState<unknown>(undefined);
  const opened = (event: Event) => {
    if (!(event.currentTarget as HTMLDetailsElement).open) return;
    fetchJson<unknown>("api/v1/doctor").then(setReport, (reason) => setReport(String(reason)));
  };
  return (
    <details class="doctor" onToggle={opened}>
      <summary>What is measured here, and what is absent</summary>
      {report === undefined ? <p class="empty">…</p> : <Report report={report} />}
    </details>
  );
}
