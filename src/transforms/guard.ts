import schema from '../../schemas/stages/guard.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { GuardConfig } from '../generated/stages/guard.ts';
import type { ImageCall, InputImage } from '../pipeline/call.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import { fetchLinks, type Picture } from './call-inputs.ts';
import { compileRules, textsOf, type Finding, type RemoteJudge, type Rule, type Subject } from './guard-rules.ts';

/**
 * Looks at what is asked for before anything is sent: words and patterns here, moderation services and webhooks all at
 * the same time. The first rule that blocks decides. It replaces pictures behind links by the pictures themselves where a
 * service wants to see them, so that the provider gets what was judged.
 */
export const guard = defineStage({
  name: 'guard',
  schema,
  reads: ['call'],
  writes: ['call'],
  optional: ['caller', 'target'],
  before: ['reply'],
  create(config: GuardConfig, env) {
    const { local, remote, wantsPictures } = compileRules(config, env);
    const skipped = new Set(config.skip_parameters);
    const judged = new WeakMap<Exchange, ImageCall>();

    return async function guard(exchange) {
      // Within a `fallback` the stage runs for each candidate; what is asked for is the same each time.
      const known = judged.get(exchange);
      if (known !== undefined) return { call: known };
      const texts = textsOf(exchange.call, skipped);
      for (const rule of local) conclude(rule, rule.judge(texts));
      const call = wantsPictures ? await withPictures(exchange.call, exchange, env) : exchange.call;
      await askAll({ exchange, call, texts });
      judged.set(exchange, call);
      return { call };

      function conclude({ id, blocks, message }: Rule<unknown>, finding: Finding | undefined): void {
        if (finding === undefined) return;
        const action = blocks ? 'block' : 'report';
        exchange.log.warn('a guard rule applies', { rule: id, action, found: finding.found });
        if (!blocks) return;
        throw new GatewayError(
          'guard_blocked',
          finding.message ?? message ?? 'A rule of this gateway does not allow this prompt.',
          { param: 'prompt', status: config.status, headers: { 'x-pinhole-guard': id } },
        );
      }

      /** @throws what the first rule says that ends the call; the others are given up */
      async function askAll(subject: Subject): Promise<void> {
        if (remote.length === 0) return;
        const decided = new AbortController();
        const deadline = env.clock.timer(config.timeout, () => decided.abort(new Error('not answered in time')));
        const signal = AbortSignal.any([exchange.signal, decided.signal]);
        const work = remote.map((rule) => ask(rule, subject, signal));
        try {
          await Promise.all(work);
        } catch (error) {
          decided.abort(givenUp);
          throw error;
        } finally {
          deadline.cancel();
          // What they read, pictures in temporary files, is not closed under their hands.
          await Promise.allSettled(work);
        }
      }

      async function ask(rule: Rule<RemoteJudge>, subject: Subject, signal: AbortSignal): Promise<void> {
        let finding: Finding | undefined;
        try {
          finding = await rule.judge(subject, signal);
        } catch (error) {
          exchange.signal.throwIfAborted();
          if (error === givenUp) return;
          const action = rule.lenient ? 'allow' : 'block';
          exchange.log.warn('a guard rule could not tell', { rule: rule.id, action, error });
          if (rule.lenient) return;
          throw new GatewayError('guard_unavailable', 'The gateway could not check this prompt.', { cause: error });
        }
        conclude(rule, finding);
      }
    };
  },
});

/** Why a rule is not waited for any more. */
const givenUp = new Error('Another rule has decided.');

async function withPictures(call: ImageCall, exchange: Exchange, env: StageEnv): Promise<ImageCall> {
  const { images, mask, inputRules } = call;
  const pictures = images.map((image): Picture => ({ image, param: 'image' }));
  const masks: readonly Picture[] = mask === undefined ? [] : [{ image: mask, param: 'mask' }];
  const fetched = await fetchLinks([...pictures, ...masks], inputRules, exchange, env);
  const at = (image: InputImage): InputImage => fetched.get(image) ?? image;
  return { ...call, images: images.map(at), mask: mask && at(mask) };
}
