/**
 * The rules of limiters that count in tables, written once for all of them. What is asked is plain data, so that it can be
 * gathered into one transaction and sent to a thread.
 */
import { createMeter, longestWait, type Meter, type Rate } from '../gcra.ts';
import type { Verdict } from './limiter.ts';

/** A demand with one name, short and unique, for each limit and key. */
export interface NamedDemand {
  readonly rates: readonly NamedRate[];
  readonly places: readonly { readonly name: string; readonly most: number }[];
  readonly holder: string;
}

export interface NamedRate {
  readonly name: string;
  readonly rate: Rate;
  readonly cost: number;
}

export type LimitOrder =
  | { readonly kind: 'take'; readonly demand: NamedDemand }
  | { readonly kind: 'leave'; readonly holder: string; readonly names: readonly string[] };

export type LimitAnswer = Verdict | { readonly kind: 'left' };

/** A moment to a fraction of a microsecond: how large a fraction is the rate's business. */
export interface Moment {
  /** Since 1970. */
  readonly us: number;
  readonly fraction: number;
}

/** What the rules work on. What happens within one call of `perform` becomes visible together, or not at all. */
export interface LimitTables {
  /** When all that was taken will have come back; undefined: nobody knows of anything that was. */
  moment(name: string): Moment | undefined;
  setMoment(name: string, moment: Moment): void;
  /** How many hold a place whose lease has not run out. */
  occupants(name: string): number;
  holds(name: string, holder: string): boolean;
  /** Takes a place, or renews its lease. */
  occupy(name: string, holder: string): void;
  vacate(name: string, holder: string): void;
}

/**
 * How far processes that share tables may disagree about the time, in microseconds: one that has had to wait for the others
 * comes with a time that has passed. What is further in the future than that was written before the clock was set back.
 */
export const toleranceUs = 10_000_000;

export function perform(tables: LimitTables, order: LimitOrder, nowUs: number): LimitAnswer {
  if (order.kind === 'take') return take(tables, order.demand, nowUs);
  for (const name of order.names) tables.vacate(name, order.holder);
  return { kind: 'left' };
}

function take(tables: LimitTables, { rates, places, holder }: NamedDemand, nowUs: number): Verdict {
  const counts = rates.map((demand) => {
    const meter = createMeter(demand.rate);
    const used = usedBy(tables, demand, meter, nowUs);
    return { ...demand, meter, used, outlook: meter.outlook(used, demand.cost) };
  });
  const last = longestWait(counts.map(({ outlook }) => outlook));
  const refused = last === undefined ? undefined : counts[last];
  if (last !== undefined && refused !== undefined) return { kind: 'refused', index: last, outlook: refused.outlook };
  const full = places.findIndex(({ name, most }) => !tables.holds(name, holder) && tables.occupants(name) >= most);
  if (full >= 0) return { kind: 'full', index: full };
  for (const { name } of places) tables.occupy(name, holder);
  const standings = counts.map(({ name, rate, cost, meter, used }) => {
    const parts = used + meter.partsOfUnits(cost);
    tables.setMoment(name, momentOf(meter.partsOf(nowUs) + parts, rate));
    return meter.standing(parts);
  });
  return { kind: 'taken', standings };
}

/** What a key has used and not got back yet, in parts. */
function usedBy(tables: LimitTables, { name, rate }: NamedRate, meter: Meter, nowUs: number): bigint {
  const moment = tables.moment(name);
  if (moment === undefined) return 0n;
  const now = meter.partsOf(nowUs);
  const used = meter.partsOf(moment.us) + BigInt(moment.fraction) - now;
  if (used <= 0n) return 0n;
  if (used <= meter.most + meter.partsOf(toleranceUs)) return used;
  // The clock was set back. Written down at once, or it would not come back before the old time is reached again.
  tables.setMoment(name, momentOf(now + meter.most, rate));
  return meter.most;
}

function momentOf(parts: bigint, { amount }: Rate): Moment {
  const perMicrosecond = BigInt(amount);
  return { us: Number(parts / perMicrosecond), fraction: Number(parts % perMicrosecond) };
}
