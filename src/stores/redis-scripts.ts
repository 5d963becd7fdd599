/**
 * The rules of `limit-rules.ts` once more, in Lua, for Redis runs a script in one step. Its numbers are doubles, so a span of
 * time is two of them: microseconds, and a fraction of one in parts of which `amount` make one. Both are whole and exact.
 */
import { hash } from 'node:crypto';
import { createMeter, longestWait, type Rate } from '../gcra.ts';
import { toleranceUs, type NamedDemand, type NamedRate } from './limit-rules.ts';
import type { Verdict } from './limiter.ts';

/** In braces stands what a cluster goes by to keep keys together: a script may only touch keys of one node. */
const prefix = 'pinhole:{limits}';

export const probeKey = `${prefix}:probe`;

const rateKey = (name: string): string => `${prefix}:rate:${name}`;

export const placesKey = (name: string): string => `${prefix}:places:${name}`;

export interface Script {
  readonly text: string;
  /** What a server calls it that has seen it. */
  readonly digest: string;
}

const scriptOf = (text: string): Script => ({ text, digest: hash('sha1', text) });

/** What a script is called with. */
export interface ScriptCall {
  readonly keys: string[];
  readonly arguments: string[];
}

/**
 * Answers 0 when all is taken or 1 when a rate has no room, then for each rate the microseconds and the fraction that were used
 * before; or 2 and the index of what there is no more place for.
 */
export const takeScript = scriptOf(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local rates, places, lease, tolerance, holder =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local at = 6
local answer, moments, isRefused = {0}, {}, false

local function put(key, us, fraction)
  redis.call('SET', key, string.format('%.0f %.0f', us, fraction), 'PX', math.ceil((us - now) / 1000) + 1000)
end

for index = 1, rates do
  local amount, costUs, costFraction, mostUs, mostFraction = tonumber(ARGV[at]), tonumber(ARGV[at + 1]),
    tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  at = at + 5
  local us, fraction = 0, 0
  local kept = redis.call('GET', KEYS[index])
  if kept then
    local first, second = string.match(kept, '^(%d+) (%d+)$')
    us, fraction = tonumber(first) - now, tonumber(second)
    if us < 0 then
      us, fraction = 0, 0
    elseif us > mostUs + tolerance then
      us, fraction = mostUs, mostFraction
      put(KEYS[index], now + us, fraction)
    end
  end
  answer[2 * index], answer[2 * index + 1] = us, fraction
  us, fraction = us + costUs, fraction + costFraction
  if fraction >= amount then
    us, fraction = us + 1, fraction - amount
  end
  if us > mostUs or (us == mostUs and fraction > mostFraction) then
    isRefused = true
  end
  moments[index] = {us, fraction}
end
if isRefused then
  answer[1] = 1
  return answer
end

for index = 1, places do
  local key = KEYS[rates + index]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  local longest = string.format('%.0f', now + lease)
  local tooLong = redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', now + lease + tolerance), '+inf')
  for _, each in ipairs(tooLong) do
    redis.call('ZADD', key, longest, each)
  end
  if not redis.call('ZSCORE', key, holder) and redis.call('ZCARD', key) >= tonumber(ARGV[at]) then
    return {2, index - 1}
  end
  at = at + 1
end

for index = 1, places do
  local key = KEYS[rates + index]
  redis.call('ZADD', key, string.format('%.0f', now + lease), holder)
  redis.call('PEXPIRE', key, math.ceil(lease / 1000))
end
for index = 1, rates do
  put(KEYS[index], now + moments[index][1], moments[index][2])
end
return answer`);

/** Renews leases: for each key a holder. */
export const renewScript = scriptOf(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local lease = tonumber(ARGV[1])
for index, key in ipairs(KEYS) do
  redis.call('ZADD', key, string.format('%.0f', now + lease), ARGV[index + 1])
  redis.call('PEXPIRE', key, math.ceil(lease / 1000))
end
return 0`);

export function takeCall({ rates, places, holder }: NamedDemand, leaseUs: number): ScriptCall {
  return {
    keys: [...rates.map(({ name }) => rateKey(name)), ...places.map(({ name }) => placesKey(name))],
    arguments: [
      ...[rates.length, places.length, leaseUs, toleranceUs].map(String),
      holder,
      ...rates.flatMap(({ rate, cost }) => {
        const { amount } = rate;
        const meter = createMeter(rate);
        // What can never be let in is refused whatever else is true, and need not be exact.
        const wanted = cost > rate.burst ? meter.most + 1n : meter.partsOfUnits(cost);
        return [String(amount), ...split(wanted, amount), ...split(meter.most, amount)];
      }),
      ...places.map(({ most }) => String(most)),
    ],
  };
}

function split(parts: bigint, amount: number): [string, string] {
  const perMicrosecond = BigInt(amount);
  return [String(parts / perMicrosecond), String(parts % perMicrosecond)];
}

/** What the script's answer means. @throws Error when it is none */
export function readVerdict(answer: unknown, { rates, places }: NamedDemand): Verdict {
  const numbers = Array.isArray(answer) ? answer.map(Number) : [];
  const [kind, first = -1] = numbers;
  if (kind === 2 && places[first] !== undefined) return { kind: 'full', index: first };
  if ((kind !== 0 && kind !== 1) || numbers.length !== 1 + 2 * rates.length || !numbers.every(Number.isSafeInteger)) {
    throw new Error('The script of the rate limits gave an answer to another question.');
  }
  const used = (index: number, rate: Rate): bigint => {
    const [us = 0, fraction = 0] = numbers.slice(1 + 2 * index, 3 + 2 * index);
    return BigInt(us) * BigInt(rate.amount) + BigInt(fraction);
  };
  if (kind === 0) {
    const standingOf = ({ rate, cost }: NamedRate, index: number) => {
      const meter = createMeter(rate);
      return meter.standing(used(index, rate) + meter.partsOfUnits(cost));
    };
    return { kind: 'taken', standings: rates.map(standingOf) };
  }
  const outlooks = rates.map(({ rate, cost }, index) => createMeter(rate).outlook(used(index, rate), cost));
  const index = longestWait(outlooks);
  const outlook = index === undefined ? undefined : outlooks[index];
  if (index === undefined || outlook === undefined) throw new Error('The script refused a demand for no reason.');
  return { kind: 'refused', index, outlook };
}
