import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SlotName } from '../../../src/pipeline/exchange.ts';
import { checkOrder } from '../../../src/pipeline/order.ts';
import { builtIn, canonicalNames, placed, type SketchedStage } from './placed.ts';

const answer: SketchedStage = { name: 'answer', writes: ['response'] };

/** What the checker says about a list, as `index of the place: message`. */
function problems(
  pipeline: readonly SketchedStage[],
  producers: Partial<Record<SlotName, readonly string[]>> = {},
): readonly string[] {
  return checkOrder(placed(pipeline), '/pipelines/images', (slot) => producers[slot] ?? []).map(
    ({ pointer, message }) => `${pointer.replace('/pipelines/images/', '')}: ${message}`,
  );
}

describe('the order of a pipeline', () => {
  it('is right when every slot is filled above the stage that reads it', () => {
    expect(problems(canonicalNames.map((name) => builtIn(name)))).toEqual([]);
  });

  it('is right with the sending stages in a composite', () => {
    const sending = builtIn(
      'fallback',
      ['provider-transform', 'dispatch', 'response-normalise'].map((name) => builtIn(name)),
    );
    const rest = ['authenticate', 'parse', 'route-resolve', 'constrain', 'budget'].map((name) => builtIn(name));
    expect(problems([...rest, sending, builtIn('decode')])).toEqual([]);
  });

  it.each([['authenticate', 'forward'], ['authenticate', 'list-models'], ['serve-image'], ['list-models']])(
    'is right for the short pipelines: %s %s',
    (...names: string[]) => {
      expect(problems(names.filter(Boolean).map((name) => builtIn(name)))).toEqual([]);
    },
  );

  it('is right without the gates and without the optional last stage', () => {
    const names = ['parse', 'route-resolve', 'provider-transform', 'dispatch', 'response-normalise'];
    expect(problems(names.map((name) => builtIn(name)))).toEqual([]);
  });
});

describe('a stage that reads a slot', () => {
  it('is told to let the stage that fills it go first', () => {
    expect(problems([builtIn('route-resolve'), builtIn('parse'), answer])).toEqual([
      '0: `route-resolve` reads `call`, which `parse` fills only further down: move `parse` above `route-resolve`',
    ]);
  });

  it('is told which stages could fill it when none in the list does', () => {
    const producers = { call: ['parse', 'parse-soap'] };
    expect(problems([builtIn('route-resolve'), answer], producers)).toEqual([
      '0: `route-resolve` reads `call`, which no stage of this pipeline fills: add `parse` or `parse-soap` above it',
    ]);
  });

  it('is told so even when nothing known can fill it', () => {
    expect(problems([builtIn('route-resolve'), answer])).toEqual([
      '0: `route-resolve` reads `call`, which no stage of this pipeline fills: add a stage that does above it',
    ]);
  });

  it('is not served by a stage that only changes the slot', () => {
    const change: SketchedStage = { name: 'translate', reads: ['call'], writes: ['call'] };
    expect(problems([change, { name: 'log-call', reads: ['call'] }, answer], { call: ['parse'] })).toEqual([
      '0: `translate` reads `call`, which no stage of this pipeline fills: add `parse` above it',
    ]);
  });

  it('is the only one at fault when the stage that fills it comes too late', () => {
    expect(problems([builtIn('parse'), builtIn('constrain'), builtIn('route-resolve'), answer])).toEqual([
      '1: `constrain` reads `candidates` and `target`, which `route-resolve` fills only further down: move `route-resolve` above `constrain`',
    ]);
  });

  it('is reported for each slot that is missing', () => {
    expect(problems([builtIn('budget'), answer], { call: ['parse'], candidates: ['route-resolve'] })).toEqual([
      '0: `budget` reads `call`, which no stage of this pipeline fills: add `parse` above it',
      '0: `budget` reads `candidates`, which no stage of this pipeline fills: add `route-resolve` above it',
    ]);
  });

  it('does not judge the anonymous caller when the real one becomes known further down', () => {
    const pipeline = ['parse', 'route-resolve', 'constrain', 'authenticate'].map((name) => builtIn(name));
    expect(problems([...pipeline, answer])).toEqual([
      '2: `constrain` reads `caller` before `authenticate` has established it: move `authenticate` above `constrain`',
    ]);
  });

  it('may judge the anonymous caller when nobody establishes another', () => {
    expect(problems([builtIn('list-models')])).toEqual([]);
  });
});

describe('a stage that fills a slot', () => {
  it('is refused when the slot is filled already, so nothing is sent twice', () => {
    const pipeline = canonicalNames.toSpliced(7, 0, 'dispatch').map((name) => builtIn(name));
    expect(problems(pipeline)).toEqual([
      '7: `dispatch` fills `reply`, which `dispatch` above it has filled already: remove one of them',
    ]);
  });

  it('is refused below a composite that fills the slot within', () => {
    const rest = ['parse', 'route-resolve'].map((name) => builtIn(name));
    const fallback = builtIn(
      'fallback',
      ['provider-transform', 'dispatch', 'response-normalise'].map((name) => builtIn(name)),
    );
    expect(problems([...rest, fallback, builtIn('forward')])).toEqual([
      '3: `forward` fills `response`, which `response-normalise` above it has filled already: remove one of them',
    ]);
  });

  it('may take the place of what is given from the start, but only once', () => {
    const twice = [builtIn('authenticate'), builtIn('authenticate'), answer];
    expect(problems(twice)).toEqual([
      '1: `authenticate` fills `caller`, which `authenticate` above it has filled already: remove one of them',
    ]);
  });

  it('may be followed by any number of stages that change the slot', () => {
    const change: SketchedStage = { name: 'translate', reads: ['call'], writes: ['call'] };
    expect(problems([builtIn('parse'), change, change, answer])).toEqual([]);
  });
});

describe('a gate', () => {
  it('is refused below what it is to protect', () => {
    const names = ['parse', 'route-resolve', 'provider-transform', 'dispatch', 'response-normalise', 'budget'];
    expect(problems(names.map((name) => builtIn(name)))).toEqual([
      '5: `budget` must run before `reply` is there, but `dispatch` above it fills that: move `budget` above `dispatch`',
    ]);
  });

  it('is refused below a composite that sends within', () => {
    const names = ['provider-transform', 'dispatch', 'response-normalise'];
    const fallback = builtIn(
      'fallback',
      names.map((name) => builtIn(name)),
    );
    expect(problems([builtIn('parse'), builtIn('route-resolve'), fallback, builtIn('constrain')])).toEqual([
      '3: `constrain` must run before `reply` is there, but `dispatch` above it fills that: move `constrain` above `dispatch`',
    ]);
  });

  it('may stand before the stage that establishes what is given from the start', () => {
    const gate: SketchedStage = { name: 'ip-list', before: ['caller'] };
    expect(problems([gate, builtIn('authenticate'), answer])).toEqual([]);
    expect(problems([builtIn('authenticate'), gate, answer])).toEqual([
      '1: `ip-list` must run before `caller` is there, but `authenticate` above it fills that: move `ip-list` above `authenticate`',
    ]);
  });
});

describe('a composite', () => {
  it('has its list checked at its place, with pointers into it', () => {
    const fallback = builtIn('fallback', [builtIn('dispatch'), builtIn('provider-transform')]);
    expect(problems([builtIn('parse'), builtIn('route-resolve'), fallback, answer])).toEqual([
      '2/config/stages/0: `dispatch` reads `upstream`, which `provider-transform` fills only further down: move `provider-transform` above `dispatch`',
    ]);
  });

  it('needs its own slots before those of its list', () => {
    const fallback = builtIn('fallback', [builtIn('parse'), builtIn('route-resolve')]);
    expect(problems([fallback, answer])).toEqual([
      '0: `fallback` reads `candidates` and `target`, which `route-resolve` fills only further down: move `route-resolve` above `fallback`',
    ]);
  });

  it('may stand in another one', () => {
    const inner: SketchedStage = { name: 'inner', nested: [builtIn('dispatch'), builtIn('response-normalise')] };
    const outer = builtIn('fallback', [builtIn('provider-transform'), inner]);
    expect(problems([builtIn('parse'), builtIn('route-resolve'), outer, builtIn('decode')])).toEqual([]);
    const turned = builtIn('fallback', [inner, builtIn('provider-transform')]);
    expect(problems([builtIn('parse'), builtIn('route-resolve'), turned])).toEqual([
      '2/config/stages/0/config/stages/0: `dispatch` reads `upstream`, which `provider-transform` fills only further down: move `provider-transform` above `dispatch`',
    ]);
  });
});

describe('the end of a pipeline', () => {
  it('is an answer', () => {
    const producers = { response: ['response-normalise', 'forward'] };
    expect(problems([builtIn('authenticate'), builtIn('parse')], producers)).toEqual([
      '1: this pipeline ends without an answer: add `response-normalise` or `forward` at its end',
    ]);
  });

  it('is looked for at the pipeline itself when no stage is left in it', () => {
    expect(checkOrder([], '/routes/3/pipeline', () => ['forward'])).toEqual([
      { pointer: '/routes/3/pipeline', message: 'this pipeline ends without an answer: add `forward` at its end' },
    ]);
  });

  it('is not complained about as long as there is a worse mistake', () => {
    expect(problems([builtIn('route-resolve')], { call: ['parse'] })).toHaveLength(1);
  });
});

describe('of the stages for pictures in any order', () => {
  const position = (names: readonly string[], name: string): number => names.indexOf(name);

  it('exactly those orders are right that nobody would be surprised by', () => {
    // What a person would demand, written down without slots.
    const demands = [
      ['parse', 'route-resolve'],
      ['route-resolve', 'constrain'],
      ['route-resolve', 'budget'],
      ['authenticate', 'constrain'],
      ['authenticate', 'budget'],
      ['route-resolve', 'provider-transform'],
      ['provider-transform', 'dispatch'],
      ['constrain', 'dispatch'],
      ['budget', 'dispatch'],
      ['dispatch', 'response-normalise'],
      ['response-normalise', 'decode'],
    ] as const;
    const sensible = (names: readonly string[]): boolean =>
      demands.every(([first, second]) => position(names, first) < position(names, second));
    fc.assert(
      fc.property(nearlyCanonical, (names) => {
        expect(problems(names.map((name) => builtIn(name))).length === 0).toBe(sensible(names));
      }),
      { numRuns: 500 },
    );
  });

  /** The canonical order after a few exchanges of neighbours: about half of these are right. */
  const nearlyCanonical = fc.array(fc.nat({ max: canonicalNames.length - 2 }), { maxLength: 6 }).map((swaps) =>
    swaps.reduce<readonly string[]>((names, at) => {
      const [left = '', right = ''] = names.slice(at, at + 2);
      return names.toSpliced(at, 2, right, left);
    }, canonicalNames),
  );
});
