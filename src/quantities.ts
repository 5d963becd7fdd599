/** Lengths of time and sizes as the file spells them. */

const millisecondsByUnit: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const bytesByUnit: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** Milliseconds in a text such as `250ms`, `10s`, `5m`, `2h`, `30d` or `1500`; undefined if it is not of that form. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, millisecondsByUnit);
}

/** Bytes in a text such as `64KiB`, `100MiB`, `5MB` or `1024`; undefined if it is not of that form. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, bytesByUnit);
}

function parseQuantity(text: string, factors: Readonly<Record<string, number>>): number | undefined {
  const parts = /^([0-9]{1,15})([A-Za-z]*)$/.exec(text);
  const unit = parts?.[2];
  if (unit === undefined || !Object.hasOwn(factors, unit)) return undefined;
  const amount = Number(parts?.[1]) * (factors[unit] ?? Number.NaN);
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** A duration as a person would write it, in the largest unit that divides it. */
export function formatDuration(milliseconds: number): string {
  return formatQuantity(milliseconds, millisecondsByUnit, ['d', 'h', 'm', 's', 'ms']);
}

/** A size as a person would write it, in the largest binary unit that divides it. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, bytesByUnit, ['GiB', 'MiB', 'KiB', 'B']);
}

function formatQuantity(amount: number, factors: Readonly<Record<string, number>>, units: readonly string[]): string {
  const unit = units.find((unit) => amount % (factors[unit] ?? 1) === 0 && amount > 0) ?? units.at(-1) ?? '';
  return `${amount / (factors[unit] ?? 1)}${unit}`;
}
