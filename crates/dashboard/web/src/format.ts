// Numbers and moments as people read them. What was not measured is a dash, never a zero.

export const ABSENT = "–";

type Maybe = number | null | undefined;

export const isNumber = (value: Maybe): value is number => typeof value === "number" && Number.isFinite(value);

export function cores(value: Maybe): string {
  if (!isNumber(value)) return ABSENT;
  if (value < 0.0005) return value > 0 ? "<0.001" : "0";
  return value < 0.095 ? value.toFixed(3) : value.toFixed(2);
}

export function bytes(value: Maybe): string {
  if (!isNumber(value)) return ABSENT;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : 1;
  return `${scaled.toFixed(digits)} ${units[unit]}`;
}

export function perSecond(value: Maybe): string {
  return isNumber(value) ? `${bytes(value)}/s` : ABSENT;
}

export function percent(value: Maybe, digits = 0): string {
  if (!isNumber(value)) return ABSENT;
  const shown = value * 100;
  if (digits === 0 && shown > 0 && shown < 0.5) return "<1 %";
  return `${shown.toFixed(digits)} %`;
}

export function duration(seconds: Maybe): string {
  if (!isNumber(seconds)) return ABSENT;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** `60` as `1 min`, `3600` as `1 h`: names of windows. */
export function windowName(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  if (seconds % 60 === 0) return `${seconds / 60} min`;
  return `${seconds} s`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

export function clock(utcMs: Maybe): string {
  return isNumber(utcMs) ? clockFormat.format(new Date(utcMs)) : ABSENT;
}
