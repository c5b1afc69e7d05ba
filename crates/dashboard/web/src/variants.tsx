// Variants with their verdicts, and how well each unit is foreseen.
import { useState } from "preact/hooks";
import type { SkillRow, VariantRow, View } from "./api";
import { ABSENT, isNumber, percent, windowName } from "./format";

/** Rows of skill before "show all". */
const FIRST_UNITS = 8;
/** Ratios that the picture of intervals spans. */
const LEAST = 0.8;
const MOST = 1.3;

const place = (ratio: number): number =>
  ((Math.min(Math.max(ratio, LEAST), MOST) - LEAST) / (MOST - LEAST)) * 100;

function Interval({ row }: { row: VariantRow }) {
  if (!isNumber(row.ratio)) return <span class="faint">{ABSENT}</span>;
  const low = row.ratio_low ?? row.ratio;
  const high = row.ratio_high ?? row.ratio;
  const words = `${row.ratio.toFixed(3)} times cheaper than the base, 95 % within ${low.toFixed(3)} to ${high.toFixed(3)}`;
  return (
    <svg class="interval" viewBox="0 0 100 16" role="img" aria-label={words} preserveAspectRatio="none">
      <title>{words}</title>
      <line class="one" x1={place(1)} x2={place(1)} y1="0" y2="16" />
      <line class="whisker" x1={place(low)} x2={place(high)} y1="8" y2="8" />
      <line class="point" x1={place(row.ratio)} x2={place(row.ratio)} y1="3" y2="13" />
    </svg>
  );
}

function verdict(row: VariantRow): [string, string] {
  if (row.kept === true) return ["kept", "variant kept"];
  if (row.kept === false) return ["base", "base kept"];
  return ["open", "to be tried"];
}

export function Variants({ view }: { view: View }) {
  if (!view.variants.length) {
    return (
      <p class="empty">
        No function was compiled for a scenario yet. Programs built with <code>tidegate cc</code> can be.
      </p>
    );
  }
  return (
    <div class="scroll">
      <table id="variants">
        <thead>
          <tr>
            <th>Function</th>
            <th class="wide">Scenario</th>
            <th class="wide">Base ÷ variant</th>
            <th class="number">Ratio</th>
            <th>Verdict</th>
          </tr>
        </thead>
        <tbody>
          {view.variants.map((row) => {
            const [kind, words] = verdict(row);
            return (
              <tr key={row.app + row.function + row.scenario}>
                <th scope="row">
                  <code>{row.function}</code>
                  <div class="faint">{row.app}</div>
                  <div class="narrow">{row.scenario}</div>
                </th>
                <td class="wide">{row.scenario}</td>
                <td class="wide"><Interval row={row} /></td>
                <td class="number">
                  {isNumber(row.ratio) ? row.ratio.toFixed(2) : ABSENT}
                  <div class="faint">
                    {isNumber(row.ratio_low) && isNumber(row.ratio_high)
                      ? `${row.ratio_low.toFixed(2)}–${row.ratio_high.toFixed(2)}`
                      : ""}
                  </div>
                </td>
                <td title={row.reason}>
                  <span class={`tag ${kind}`}>{words}</span>
                  <div class="faint wide">{row.reason}</div>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function SkillLine({ row }: { row: SkillRow }) {
  return (
    <tr>
      <th scope="row">
        <span class="name">{row.unit}</span>
        <div class="faint">
          within {windowName(row.window_s)} {row.demoted && <span class="tag warn">reactive</span>}
        </div>
      </th>
      <td class="number">{isNumber(row.skill) ? (Math.round(row.skill * 100) / 100 + 0).toFixed(2) : ABSENT}</td>
      <td class="number">{row.hits}</td>
      <td class="number">{row.misses}</td>
      <td class="number">{row.false_alarms}</td>
      <td class="number wide">{isNumber(row.onset_error_s) ? `${row.onset_error_s.toFixed(1)} s` : ABSENT}</td>
      <td class="number wide">{row.scored}</td>
      <td class="number wide">{percent(row.set_aside / Math.max(1, row.set_aside + row.scored))}</td>
    </tr>
  );
}

/** One window per unit, the most often scored units first. */
function firstRows(rows: SkillRow[]): SkillRow[] {
  const shortest = Math.min(...rows.map((row) => row.window_s));
  const known = rows.filter((row) => row.window_s === shortest);
  return known.sort((left, right) => right.scored - left.scored).slice(0, FIRST_UNITS);
}

export function Skill({ view }: { view: View }) {
  const [all, setAll] = useState(false);
  const shown = all ? view.skill : firstRows(view.skill);
  if (!view.skill.length) {
    return <p class="empty">No prediction was scored yet: a window has to close first.</p>;
  }
  return (
    <div class="scroll">
      <table id="skill">
        <thead>
          <tr>
            <th>Unit</th>
            <th class="number" title="Brier skill score: 1 is perfect, 0 is no better than the unit's own base rate">Skill</th>
            <th class="number">Hits</th>
            <th class="number">Misses</th>
            <th class="number">False</th>
            <th class="number wide">Onset error</th>
            <th class="number wide">Scored</th>
            <th class="number wide" title="Treated or unknown: they judge nothing">Set aside</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <SkillLine key={row.unit + row.window_s} row={row} />
          ))}
        </tbody>
      </table>
      <p>
        <img class="reliability" src="/api/v1/calibration.svg" loading="lazy"
          alt="What was said against what came, a picture per window; the table is at /api/v1/calibration" />
      </p>
      {(all || shown.length < view.skill.length) && (
        <button class="quiet" onClick={() => setAll(!all)}>
          {all ? "Show the shortest window" : `Show all ${view.skill.length}`}
        </button>
      )}
    </div>
  );
}
