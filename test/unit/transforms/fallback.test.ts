import { describe, expect, it } from 'vitest';
import { errorTable, GatewayError, type ErrorCode } from '../../../src/errors.ts';
import type { FallbackConfig } from '../../../src/generated/stages/fallback.ts';
import type { Target } from '../../../src/pipeline/settings.ts';
import type { NestedPipeline } from '../../../src/pipeline/stage.ts';
import { fallback } from '../../../src/transforms/fallback.ts';
import { filledBy, makeEntity, makeExchange, makeJob, makeStageEnv, makeTarget } from '../../fixtures/exchange.ts';
import { fallbackConfig } from '../../fixtures/fallback-config.ts';
import { recordingLog } from '../runtime/recording-log.ts';

const candidates = ['first', 'second', 'third'].map((id) => makeTarget({ entity: makeEntity({ id }) }));
const [first, second, third] = candidates;
const codes = Object.keys(errorTable) as readonly ErrorCode[];
const curable = codes.filter((code) => errorTable[code].curable);

/** A nested list that ends for each candidate with the error given for it, or answers. */
function nestedWith(
  errors: readonly (Error | undefined)[],
  onRun: () => void = () => {},
): NestedPipeline & { readonly tried: (Target | undefined)[] } {
  const tried: (Target | undefined)[] = [];
  return {
    tried,
    run(_exchange, given) {
      const error = errors[tried.length];
      tried.push(given?.target);
      onRun();
      return error === undefined ? Promise.resolve() : Promise.reject(error);
    },
  };
}

const run = async (
  nested: NestedPipeline,
  given: Parameters<typeof makeExchange>[1] = {},
  config: Partial<FallbackConfig> = {},
): Promise<Target> => {
  const exchange = makeExchange({ candidates, target: candidates[0] ?? makeTarget() }, given);
  return (await filledBy(fallback.create(fallbackConfig(config), makeStageEnv(), nested)(exchange))).target;
};

describe('fallback', () => {
  it('takes by default what the table calls curable', () => {
    expect([...fallbackConfig().on, 'no_healthy_target'].toSorted()).toEqual(curable.toSorted());
  });

  it('is content with the first candidate that answers', async () => {
    const nested = nestedWith([]);
    expect(await run(nested)).toBe(first);
    expect(nested.tried).toEqual([first]);
  });

  it.each(curable)('tries the next candidate after %s', async (code) => {
    const nested = nestedWith([new GatewayError(code, 'failed')]);
    expect(await run(nested)).toBe(second);
    expect(nested.tried).toEqual([first, second]);
  });

  it.each(codes.filter((code) => !curable.includes(code)))('gives up after %s', async (code) => {
    const error = new GatewayError(code, 'failed');
    const nested = nestedWith([error]);
    await expect(run(nested)).rejects.toBe(error);
    expect(nested.tried).toEqual([first]);
  });

  it('goes to where a job was left past an open breaker, since nobody else can go on with it', async () => {
    const closed = { kind: 'open', forMs: 1000 } as const;
    const entity = makeEntity({ id: 'left', health: { ...makeEntity().health, standing: () => closed } });
    const left = makeTarget({ entity });
    const tryFirst = async (isLeft: boolean) => {
      const nested = nestedWith([]);
      const exchange = makeExchange(
        { candidates: [left, ...candidates], target: left },
        { job: makeJob({ isLeft: () => isLeft }) },
      );
      await fallback.create(fallbackConfig(), makeStageEnv(), nested)(exchange);
      return nested.tried;
    };
    expect(await tryFirst(true)).toEqual([left]);
    expect(await tryFirst(false)).toEqual([first]);
  });

  it('gives up after a bug of ours', async () => {
    const error = new TypeError('undefined is not a function');
    const nested = nestedWith([error]);
    await expect(run(nested)).rejects.toBe(error);
    expect(nested.tried).toEqual([first]);
  });

  it('ends with the last failure when all candidates fail', async () => {
    const errors = ['upstream_timeout', 'upstream_unreachable', 'rate_limit_exceeded'] as const;
    const failures = errors.map((code) => new GatewayError(code, 'failed'));
    const nested = nestedWith(failures);
    await expect(run(nested)).rejects.toBe(failures[2]);
    expect(nested.tried).toEqual([first, second, third]);
  });

  it('tries nothing more once the exchange is aborted', async () => {
    const controller = new AbortController();
    const error = new GatewayError('upstream_error', 'The connection broke.');
    const nested = nestedWith([error], () => controller.abort());
    await expect(run(nested, { signal: controller.signal })).rejects.toBe(error);
    expect(nested.tried).toEqual([first]);
  });

  it('notes down which candidates failed', async () => {
    const log = recordingLog();
    const error = new GatewayError('upstream_error', 'failed');
    await run(nestedWith([error]), { log });
    expect(log.lines).toEqual([
      { level: 'warn', message: 'candidate failed', fields: { entity: 'first', model: 'gpt-image-2', error } },
    ]);
  });
});
