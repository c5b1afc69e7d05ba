// Leases and actions, newest first, each with its prediction and what became of it.
import { useState } from "preact/hooks";
import type { LeaseRow, View } from "./api";
import { ABSENT, clock, duration, percent } from "./format";
import { leaseKind, Timeline } from "./timeline";

const FIRST_ACTIONS = 5;

const WORDS: { [kind: string]: string } = {
  ahead: "ahead",
  active: "in effect",
  hit: "came",
  false: "false act",
  open: "open",
  refused: "refused",
};

function when(lease: LeaseRow, now: number): string {
  if (lease.state === "ahead") return `in ${duration((lease.start_utc_ms - now) / 1e3)}`;
  if (lease.state === "active") return `${duration((lease.end_utc_ms - now) / 1e3)} left`;
  return clock(lease.start_utc_ms);
}

function Row({ lease, now, why }: { lease: LeaseRow; now: number; why: (id: string) => void }) {
  const kind = leaseKind(lease);
  const change = lease.found ? `${lease.found.text} → ${lease.asked.text}` : lease.asked.text;
  return (
    <tr>
      <td class="when">{when(lease, now)}</td>
      <td>
        <span class="name">{lease.app}</span>
        <div class="faint">for {lease.beneficiary}</div>
        <div class="narrow">{change}</div>
      </td>
      <td class="wide">{change}</td>
      <td class="wide">
        {percent(lease.prediction?.probability)}
        <div class="faint">{lease.trigger}</div>
      </td>
      <td>
        <span class={`tag ${kind}`}>{WORDS[kind] ?? kind}</span>
        <div class="faint wide">
          {typeof lease.outcome.onset_error_s === "number"
            ? `${lease.outcome.onset_error_s >= 0 ? "+" : ""}${lease.outcome.onset_error_s.toFixed(1)} s`
            : lease.outcome.failure ?? ""}
        </div>
      </td>
      <td>
        <button class="quiet" onClick={() => why(String(lease.id))} aria-label={`Why lease ${lease.id}`}>
          Why?
        </button>
      </td>
    </tr>
  );
}

interface Props {
  view: View;
  minutes: number;
  now: number;
  why: (id: string) => void;
}

export function Leases({ view, minutes, now, why }: Props) {
  const [all, setAll] = useState(false);
  const live = view.plan.leases;
  const ended = all ? view.actions : view.actions.slice(0, FIRST_ACTIONS);
  const said = [...view.plan.advice, ...view.plan.shifts, ...view.plan.recompiles];
  return (
    <>
      <Timeline view={view} minutes={minutes} now={now} why={why} />
      {live.length + ended.length === 0 ? (
        <p class="empty">
          {view.mode === "enforce" ? "Nothing was adjusted yet." : `In ${view.mode} nothing is adjusted.`}
        </p>
      ) : (
        <div class="scroll">
          <table id="leases">
            <thead>
              <tr>
                <th>When</th>
                <th>App</th>
                <th class="wide">Adjustment</th>
                <th class="wide">Foreseen</th>
                <th>Outcome</th>
                <th><span class="hidden">Why</span></th>
              </tr>
            </thead>
            <tbody>
              {[...live, ...ended].map((lease) => (
                <Row key={lease.id} lease={lease} now={now} why={why} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {view.actions.length > FIRST_ACTIONS && (
        <button class="quiet" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${view.actions.length}`}
        </button>
      )}
      {said.length > 0 && (
        <ul class="said">
          {said.map((advice) => (
            <li key={advice.app + advice.text}>
              <span class="name">{advice.app}</span> {advice.text}{" "}
              <span class="faint">{advice.setting?.text ?? advice.unit ?? ABSENT}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
