// Generated from ../openapi.json by build.mjs; do not edit.

/** What would be done, moved or compiled, or cannot be, and why. */
export interface AdviceRow {
  /** For whom. */
  app: string;
  setting?: Setting | null;
  /** In words. */
  text: string;
  /** About which unit, where it is about one. */
  unit?: string | null;
}

/** One app: who it is, what may be done to it, and what it does now. */
export interface AppRow {
  /** Its class. */
  class: Class;
  /** CPU cores in use. */
  cpu_cores?: number | null;
  /** True where the upper part of the demand is only a lower bound. */
  cpu_demand_censored?: boolean;
  cpu_demand_cores?: QuantileRow | null;
  /** CPU limit in cores; `null` where there is none or it could not be read. */
  cpu_limit_cores?: number | null;
  /** Seconds throttled per second, summed over CPUs. */
  cpu_throttled_ratio?: number | null;
  /** Share of time in which some task waited for a CPU. */
  cpu_waiting_ratio?: number | null;
  /** Bytes read from disks per second. */
  disk_read_bytes_per_second?: number | null;
  /** Bytes written to disks per second. */
  disk_write_bytes_per_second?: number | null;
  /** True where the app takes whatever it is allowed. */
  elastic?: boolean;
  /** Executable of its first process, without arguments. */
  executable?: string | null;
  /** Paths of its groups, one per hierarchy; empty where it has none of its own. */
  groups: string[];
  /** Share of time in which some task waited for I/O. */
  io_waiting_ratio?: number | null;
  /** Memory in bytes. */
  memory_bytes?: number | null;
  /** Memory limit in bytes; `null` where there is none or it could not be read. */
  memory_limit_bytes?: number | null;
  /** Share of time in which some task waited for memory. */
  memory_waiting_ratio?: number | null;
  /** Mode per resource; a resource that is not listed is observed. */
  modes: { [name: string]: Mode };
  /** Its name in history. */
  name: string;
  /** Bytes received per second. */
  net_rx_bytes_per_second?: number | null;
  /** Bytes sent per second. */
  net_tx_bytes_per_second?: number | null;
  /** Who decides over its group: `tidegate`, `delegated`, `systemd NAME`, another manager, or `nobody`. */
  owner: string;
  /** The app above it whose limits bind it too. */
  parent?: string | null;
  /** Processes. */
  processes?: number | null;
  /** Recent values; empty where they were not asked for. */
  sparks?: Sparks;
  /** Why it is never acted on, where that is so. */
  untouchable?: string | null;
  /** User of its first process. */
  user?: string | null;
}

/** The predictions of one window: of all units, of one model, or of one unit. */
export interface CalibrationRow {
  /** Probability from which a prediction counts as an alarm at the chosen false-alarm rate. */
  alarm_from?: number | null;
  /** Share of them in which an event began or went on. */
  base_rate?: number | null;
  /** Mean squared error of the probability. */
  brier?: number | null;
  /** Mean distance between what was said and what came, over tenths of probability. */
  calibration_error?: number | null;
  /** True while the unit is handled by the reactive rule for lack of skill. */
  demoted: boolean;
  /** Median seconds that the alarm stood without a break before those. */
  lead_s?: number | null;
  /** What the predictions rested on; absent for all. */
  model?: string | null;
  /** Share of the onsets that lay within the named 10 % to 90 % quantiles; 0.8 is right. */
  onset_coverage?: number | null;
  /** Onsets that had predictions before them. */
  onsets: number;
  /** Those before which the alarm stood. */
  onsets_alarmed: number;
  /** Share of them above the 90 % quantile; 0.1 is right. */
  peak_above?: number | null;
  /** Share of them within the named 10 % to 90 % quantiles; 0.8 is right. */
  peak_coverage?: number | null;
  /** Peaks of demand that were named ahead and are known. */
  peaks?: number;
  /** What was said against what came; empty tenths are left out. */
  reliability: ReliabilityBinRow[];
  /** Predictions with a known, untreated outcome. */
  scored: number;
  /** Predictions whose outcome was treated or unknown; they judge nothing. */
  set_aside: number;
  /** Brier skill score against always saying the base rate; absent while every outcome was the same. */
  skill?: number | null;
  /** Of which unit; absent for all. */
  unit?: string | null;
  /** Length of the window in seconds. */
  window_s: number;
}

/** Rows by unit, window and model. */
export interface CalibrationView {
  /** Share of the quiet windows that may be alarmed; thresholds and leads follow from it. */
  false_alarm_share: number;
  /** All units first, per window; then each model, then each unit. */
  rows: CalibrationRow[];
}

/** How much an app matters. */
export type Class = "batch" | "standard" | "critical";

/** One event of contention as it was seen. */
export interface ContentionRow {
  /** Apps that waited or drove it, worst first. */
  apps: string[];
  /** First moment, in milliseconds since the Unix epoch. */
  begin_utc_ms: number;
  /** Last moment, in milliseconds since the Unix epoch; `null` while it goes on. */
  end_utc_ms?: number | null;
  /** Highest waiting seen, as a share of time. */
  peak_waiting_ratio?: number | null;
  /** Whether a lease prevented or eased it. */
  treatment: Treatment;
  /** Where. */
  unit: string;
}

/** An event to announce. */
export interface DeclareRequest {
  /** Whose demand rises. */
  app: string;
  /** When it begins, in milliseconds since the Unix epoch. */
  at_utc_ms: number;
  /** Expected demand in cores, where it is known. */
  cores?: number | null;
  /** How long it lasts, in seconds. */
  duration_s: number;
  /** Seconds between repetitions, where it repeats. */
  every_s?: number | null;
  /** What it is called. */
  name: string;
  /** cron's five fields, where it repeats by the wall clock: from `at_utc_ms` on; `every_s` is then not looked at. */
  schedule?: string | null;
  /** IANA name of the time zone of `schedule`; the system's where it is absent. */
  zone?: string | null;
}

/** What an app has asked for in the last minutes: something held it back, or it takes whatever it is allowed. */
export interface DemandRow {
  /** Who. */
  app: string;
  /** True where the upper part is only a lower bound. */
  censored: boolean;
  /** Demand for CPU, in cores. */
  cores: QuantileRow;
  /** True where it takes whatever it is allowed. */
  elastic: boolean;
}

/** It is done. */
export interface Done {
  /** In words. */
  text: string;
}

/** An app's part in a contention. */
export interface DriverRow {
  /** Who. */
  app: string;
  /** Share of the expected demand, 0 to 1. */
  share: number;
}

/** One app calls another. */
export interface EdgeRow {
  /** The file and line that declare it. */
  declared?: string | null;
  /** Who is called. */
  downstream: string;
  /** Class of the downstream app, what flows down to it included. */
  downstream_class: string;
  /** Share of the rises upstream that contention followed. */
  followed_share?: number | null;
  /** Median seconds from a rise upstream to contention at the downstream's CPU limit, where any was seen. */
  lag_s?: number | null;
  /** Spread of that lag in seconds. */
  lag_spread_s?: number | null;
  /** Where it was seen, such as `tcp:5432`. */
  seen?: string | null;
  /** Who calls. */
  upstream: string;
}

/** Who says that it comes. */
export type EventKind = "announced" | "scheduled";

/** One event that is expected. */
export interface EventRow {
  /** Whose demand rises, where that is known. */
  app?: string | null;
  /** Expected demand in cores, where that was said. */
  cores?: number | null;
  /** How long it lasts, in seconds, where that was said. */
  duration_s?: number | null;
  /** Who says that it comes. */
  kind: EventKind;
  /** What it is called. */
  name: string;
  /** When it comes next, in milliseconds since the Unix epoch. */
  next_utc_ms: number;
  /** File and line of what is scheduled. */
  place?: string | null;
}

/** Which prediction, which data, which rule, and what happened after. */
export interface Explanation {
  forecast?: MapRow | null;
  /** What was asked for, as asked. */
  id: string;
  lease?: LeaseRow | null;
  /** In the order of reading. */
  steps: Step[];
  /** One line. */
  title: string;
}

/** Which app calls which. */
export interface GraphView {
  /** Sorted by caller, then called. */
  edges: EdgeRow[];
  /** What is wrong with what was declared, each with its place. */
  remarks: string[];
}

/** Whether the loop turns. */
export interface Health {
  /** Seconds since the last snapshot. */
  age_s: number;
  /** `ok`, `stale` (the loop does not turn) or `starting` (it has not turned yet). */
  status: string;
}

/** One map's probabilities. */
export interface HeatColumn {
  /** When the map was made, in milliseconds since the Unix epoch. */
  at_utc_ms: number;
  /** Probability of the window for each of the units, in their order; `null` where there was no forecast. */
  probability: (number | null)[];
}

/** Units × time, bounded on both sides. */
export interface HeatView {
  /** Columns, oldest first. */
  columns: HeatColumn[];
  /** Rows, sorted. */
  units: string[];
  /** The window that the probabilities are of, in seconds: the shortest one of the map. */
  window_s: number;
}

/** The host's totals with their recent past. */
export interface HostNow {
  /** CPU cores in use. */
  cpu_busy_cores?: number | null;
  /** CPU cores that can be had. */
  cpu_capacity_cores?: number | null;
  /** Share of time in which some task waited for a CPU. */
  cpu_waiting_ratio?: number | null;
  /** Share of time in which some task waited for I/O. */
  io_waiting_ratio?: number | null;
  /** Memory of the host in bytes. */
  memory_total_bytes?: number | null;
  /** Memory that is not available, in bytes. */
  memory_used_bytes?: number | null;
  /** Share of time in which some task waited for memory. */
  memory_waiting_ratio?: number | null;
  /** Recent values, one a sample, oldest first. */
  sparks: Sparks;
}

/** What the machine is; it does not change while the daemon runs. */
export interface HostView {
  /** CPU model as the kernel names it. */
  cpu_model: string;
  /** Online CPUs. */
  cpus: number;
  /** Kernel release. */
  kernel: string;
  /** cgroup layout, in words. */
  layout: string;
  /** Memory in bytes. */
  memory_bytes: number;
  /** Host name. */
  name: string;
  /** Version of tidegate. */
  version: string;
}

/** A set of files or properties that move together. */
export type Knob = "cpu_weight" | "cpu_max";

/** What happened after a lease was made. */
export interface LeaseOutcome {
  /** Why the write did not take, in words. */
  failure?: string | null;
  /** Whether the foreseen event came; `null` while that is open or cannot be known. */
  happened?: boolean | null;
  /** Actual onset less predicted median onset, in seconds. */
  onset_error_s?: number | null;
  read_back?: Setting | null;
  /** When the found value was given back, in milliseconds since the Unix epoch. */
  restored_utc_ms?: number | null;
  treatment?: Treatment | null;
  /** When the knob was written, in milliseconds since the Unix epoch. */
  written_utc_ms?: number | null;
}

/** One lease, from its reason to its end. */
export interface LeaseRow {
  /** Whose knob. */
  app: string;
  /** What it is to be. */
  asked: Setting;
  /** The app it is for. */
  beneficiary: string;
  /** When the found value comes back, in milliseconds since the Unix epoch. */
  end_utc_ms: number;
  found?: Setting | null;
  /** Its name; `explain` takes it. */
  id: number;
  /** Which knob. */
  knob: Knob;
  /** What happened after. */
  outcome: LeaseOutcome;
  prediction?: PredictionRow | null;
  /** The rule that decided, in words. */
  rule: string;
  /** When it takes effect, in milliseconds since the Unix epoch. */
  start_utc_ms: number;
  /** Where it is in its life. */
  state: LeaseState;
  /** What set it off. */
  trigger: Trigger;
  /** The unit whose contention it is to prevent or end. */
  unit: string;
}

/** Where a lease is in its life. */
export type LeaseState = "ahead" | "active" | "ended" | "refused";

/** The forecast for one unit. */
export interface MapRow {
  /** How much the probabilities deserve trust, 0 to 1. */
  confidence: number;
  /** True while the unit is handled by the reactive rule for lack of skill. */
  demoted: boolean;
  /** Apps that drive it, largest share first. */
  drivers: DriverRow[];
  end_utc_ms?: QuantileRow | null;
  /** The name of this prediction; `explain` takes it as `pID`. */
  id: number;
  /** Begin of the event that goes on now, in milliseconds since the Unix epoch. */
  ongoing_since_utc_ms?: number | null;
  onset_utc_ms?: QuantileRow | null;
  peak?: QuantileRow | null;
  /** True where the peaks that were seen were cut off: the real one may be higher. */
  peak_censored?: boolean;
  /** One sentence: why. */
  reason: string;
  /** What it rests on. */
  source: Source;
  /** False while the model has not seen enough of this unit. */
  trained: boolean;
  /** Of which unit, such as `cpu`, `disk:vda` or `limit:web/cpu`. */
  unit: string;
  /** Probabilities, shortest window first. */
  windows: WindowRow[];
}

/** Every unit's forecast. */
export interface MapView {
  /** Apps whose demand is another than their usage, sorted by name. */
  demands?: DemandRow[];
  /** When it was made, in milliseconds since the Unix epoch; 0 before the first map. */
  made_utc_ms: number;
  /** Sorted by unit. */
  rows: MapRow[];
}

/** How far tidegate may go. */
export type Mode = "observe" | "advise" | "enforce";

/** Something the loop said. */
export interface NoticeRow {
  /** When, in milliseconds since the Unix epoch. */
  at_utc_ms: number;
  /** How serious. */
  severity: Severity;
  /** In words. */
  text: string;
}

/** A policy to plan with, without loading it. */
export interface PlanRequest {
  /** The policy file's name, for messages. */
  file_name: string;
  /** The policy file's text. */
  policy: string;
}

/** What should hold from now on, as rows. */
export interface PlanView {
  /** What is only said. */
  advice: AdviceRow[];
  /** Leases that hold now or later, by start. */
  leases: LeaseRow[];
  /** When it was decided, in milliseconds since the Unix epoch. */
  made_utc_ms: number;
  /** Wishes for variants. */
  recompiles: AdviceRow[];
  /** Moves. */
  shifts: AdviceRow[];
}

/** The prediction behind a lease, as it was when the lease was made. */
export interface PredictionRow {
  /** How much it deserved trust, 0 to 1. */
  confidence?: number | null;
  /** Its name. */
  id: number;
  onset_utc_ms?: QuantileRow | null;
  /** Probability of the shortest window. */
  probability?: number | null;
  /** Why, in one sentence. */
  reason: string;
  source?: Source | null;
  /** Length of that window in seconds. */
  window_s?: number | null;
}

/** Why a request was not answered. */
export interface Problem {
  /** What exactly, in words. */
  detail: string;
  /** What to do about it. */
  hint?: string | null;
  /** The HTTP status. */
  status: number;
  /** The kind of problem, in a few words. */
  title: string;
}

/** Three points of a distribution, in the unit that the name of the field says. */
export interface QuantileRow {
  /** One in ten is below. */
  q10: number;
  /** The median. */
  q50: number;
  /** One in ten is above. */
  q90: number;
}

/** Predictions of about the same probability. */
export interface ReliabilityBinRow {
  /** Share that came true. */
  came: number;
  /** How many. */
  count: number;
  /** Mean probability that was said. */
  said: number;
}

/** What tidegate did or would have done over a time. */
export interface Report {
  /** Functions whose base was kept. */
  bases_kept: number;
  /** What else should be known, such as gaps in the record. */
  remarks: string[];
  /** First moment, in milliseconds since the Unix epoch. */
  since_utc_ms: number;
  /** Over all units. */
  total: ReportRow;
  /** Per unit, sorted. */
  units: ReportRow[];
  /** Last moment, in milliseconds since the Unix epoch. */
  until_utc_ms: number;
  /** Functions whose variant was kept. */
  variants_kept: number;
}

/** Counts of one unit in a report. */
export interface ReportRow {
  /** Leases that were in effect for it. */
  acted: number;
  /** Leases that would have been made under `enforce`. */
  advised: number;
  /** Events of contention that were seen. */
  events: number;
  /** Foreseen events that did not come. */
  false_alarms: number;
  /** Foreseen events that came. */
  hits: number;
  /** Events that were not foreseen. */
  misses: number;
  /** Of which unit. */
  unit: string;
  /** Answers that nobody can know. */
  unknown: number;
}

/** What a variant is compiled for. */
export type Scenario = "cpu" | "memory" | "disk" | "network" | "neighbour";

/** What tidegate itself costs, from the last sample. */
export interface SelfCost {
  /** CPU cores used. */
  cpu_cores?: number | null;
  /** File descriptors held. */
  descriptors?: number | null;
  /** Resident memory in bytes. */
  memory_bytes?: number | null;
  /** Level of self-protection; 0 is nothing shed. */
  shed_level?: number | null;
  /** How late the last sample was, in seconds. */
  tick_late_s?: number | null;
}

/** A series of one field of one entity, thinned to the points that were asked for. */
export interface Series {
  /** Begin of each point, in milliseconds since the Unix epoch. */
  at_utc_ms: number[];
  /** The entity, such as `host` or `app:web`. */
  entity: string;
  /** The field's stable name, such as `cpu_busy`. */
  field: string;
  /** Greatest value in each point; `null` where nothing was measured. */
  maximum: (number | null)[];
  /** Mean over each point; `null` where nothing was measured. */
  mean: (number | null)[];
  /** Unit of the values, such as `cores`. */
  unit: string;
}

/** A knob's value in words and in base units. */
export interface Setting {
  /** Quota that may be saved up, in seconds. */
  burst_s?: number | null;
  /** Runs only on idle CPUs. */
  idle?: boolean | null;
  /** CPU limit in cores; `null` where there is no limit or the knob is none. */
  limit_cores?: number | null;
  /** Enforcement period in seconds. */
  period_s?: number | null;
  /** As a person says it, such as `0.5 cores` or `weight 20`. */
  text: string;
  /** Scheduler weight. */
  weight?: number | null;
}

/** How serious a notice is. */
export type Severity = "info" | "warning";

/** How well one unit is foreseen over one window, counted over untreated outcomes. A prediction of one half or more is an alarm. `skill` is one less the Brier score over that of always saying the unit's own base rate (Brier skill score): 1 is perfect, 0 is no better than the base rate. */
export interface SkillRow {
  /** Mean squared error of the probability. */
  brier?: number | null;
  /** True while the unit is handled by the reactive rule. */
  demoted: boolean;
  /** Alarms without an event. */
  false_alarms: number;
  /** Alarms that came true. */
  hits: number;
  /** Events without an alarm. */
  misses: number;
  /** Mean absolute error of the median onset over them, in seconds. */
  onset_error_s?: number | null;
  /** Outcomes whose onset was both foreseen and seen. */
  onset_errors?: number;
  /** Predictions with a known, untreated outcome. */
  scored: number;
  /** Predictions whose outcome was treated or unknown; they judge nothing. */
  set_aside: number;
  /** Brier skill score; `null` while every outcome was the same. */
  skill?: number | null;
  /** Of which unit. */
  unit: string;
  /** Length of the window in seconds. */
  window_s: number;
}

/** What a prediction rests on. */
export type Source = "periodic" | "declared" | "scheduled" | "upstream" | "classifier" | "demand" | "trained" | "persistence" | "reactive";

/** Recent values of one entity, one a sample, oldest first; `null` where nothing was measured. */
export interface Sparks {
  /** CPU cores. */
  cpu_cores: (number | null)[];
  /** Memory in mebibytes. */
  memory_mib: (number | null)[];
  /** Share of time waiting for a CPU, memory or I/O, whichever is the worst. */
  waiting_ratio: (number | null)[];
}

/** One step of an explanation. */
export interface Step {
  /** The answer, in words. */
  text: string;
  /** Which question the step answers, such as `Prediction`, `Data`, `Rule` or `After`. */
  title: string;
}

/** What a storm did. */
export interface StormReport {
  /** Switches that failed. */
  failures: number;
  /** Functions that were switched. */
  functions: number;
  /** Switches in all. */
  switches: number;
}

/** Switch everything back and forth: a fault-injection aid. */
export interface StormRequest {
  /** The process. */
  pid: number;
  /** For how many seconds. */
  seconds: number;
}

/** What a switch did. */
export interface SwitchReport {
  /** Functions that do not, each with why. */
  refused: string[];
  /** Functions that now run as asked. */
  switched: string[];
}

/** Switch functions of a process. */
export interface SwitchRequest {
  /** One function; all switchable ones where it is absent. */
  function?: string | null;
  /** The process. */
  pid: number;
  /** `base`, or a scenario. */
  to: string;
}

/** Whether tidegate was acting when the outcome was seen. */
export type Treatment = "untreated" | "treated" | "unknown";

/** What set a lease off. */
export type Trigger = "predicted" | "observed" | "standing";

/** One function compiled for one scenario, and what its live trial said. */
export interface VariantRow {
  /** Whose function. */
  app: string;
  /** When it was ready or judged, in milliseconds since the Unix epoch. */
  at_utc_ms: number;
  /** Which function. */
  function: string;
  /** `true` when the variant is kept, `false` when the base is, `null` before the trial's end. */
  kept?: boolean | null;
  /** The process of the trial; `null` before there was one. */
  pid?: number | null;
  /** Base cost over variant cost per unit of work: above 1 the variant is cheaper. */
  ratio?: number | null;
  /** Upper end of the 95 % interval of `ratio`. */
  ratio_high?: number | null;
  /** Lower end of the 95 % interval of `ratio`. */
  ratio_low?: number | null;
  /** In words. */
  reason: string;
  /** Compiled for what. */
  scenario: Scenario;
}

/** Everything that the page shows and the read verbs answer with, at one moment. */
export interface View {
  /** Leases that ended, newest first. */
  actions: LeaseRow[];
  /** Apps, busiest first. */
  apps: AppRow[];
  /** How many apps there are, also where `apps` was cut. */
  apps_total: number;
  /** Contention that was seen, newest first. */
  contention: ContentionRow[];
  /** The doctor's report, as the telemetry room writes it. It has an address of its own and is left out of the view there. */
  doctor?: { [name: string]: unknown } | null;
  /** The map's recent past. */
  heat: HeatView;
  /** The machine. */
  host: HostView;
  /** When it was made, in milliseconds since the Unix epoch. */
  made_utc_ms: number;
  /** The contention map. */
  map: MapView;
  /** How far tidegate may go at most. */
  mode: Mode;
  /** What the loop said, newest first. */
  notices: NoticeRow[];
  /** The host's totals. */
  now: HostNow;
  /** True between `pause` and `resume`: nothing is acted on. */
  paused: boolean;
  /** What holds, and what is only said. */
  plan: PlanView;
  /** What tidegate itself costs. */
  self_cost: SelfCost;
  /** How well each unit is foreseen. */
  skill: SkillRow[];
  /** Seconds since the daemon started. */
  uptime_s: number;
  /** Variants and their trials, newest first. */
  variants: VariantRow[];
}

/** P(contention begins or goes on within the window). */
export interface WindowRow {
  peak?: QuantileRow | null;
  /** 0 to 1. */
  probability: number;
  /** Length of the window in seconds. */
  window_s: number;
}

/** Which event to take back. */
export interface WithdrawRequest {
  /** What it is called. */
  name: string;
}
