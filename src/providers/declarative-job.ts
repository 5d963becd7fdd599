/** How a declarative provider follows a job: by a word for its state, and requests that are written out in the file. */
import type { DeclarativeConfig } from '../generated/providers/declarative.ts';
import { sniffMediaType } from '../images/probe.ts';
import type { WireRequest } from '../pipeline/upstream.ts';
import { failedJob, invalidAnswer, keepReply, readDocument, text } from './answers.ts';
import { see, throwMeaning, understood, type Rule } from './declarative-errors.ts';
import { viewCall } from './declarative-language.ts';
import type { Variables } from './declarative-reader.ts';
import { compileRequest, type RequestContext, type RequestTemplate } from './declarative-request.ts';
import type { Provider } from './provider.ts';

/** What is known of a job between two looks at it. */
interface JobState {
  /** The answer to the first request, as expressions see it. */
  readonly submitted: unknown;
  /** Whether the pictures were asked for. */
  readonly isFetching: boolean;
}

export function compileJob(
  file: NonNullable<DeclarativeConfig['poll']>,
  rules: readonly Rule[],
  isRaw: boolean,
  context: RequestContext,
): NonNullable<Provider['poll']> {
  const state = context.reader.formula(file.state, '/poll/state', 'next');
  const template = (name: 'request' | 'result' | 'cancel'): RequestTemplate | undefined =>
    file[name] === undefined ? undefined : compileRequest(file[name], `/poll/${name}`, 'next', context);
  const [look, result, cancel] = (['request', 'result', 'cancel'] as const).map(template);

  return async function poll(reply, { call, state: before }) {
    // Only this function makes the state that comes back to it.
    const known = before as JobState | undefined;
    const { bytes, reply: again } = await keepReply(reply);
    if (known?.isFetching === true) return { kind: 'done', reply: again() };
    const isPicture = isRaw && sniffMediaType(bytes) !== undefined;
    const document = isPicture ? undefined : await readDocument(again());
    return understood(() => {
      const seen = see(reply, document);
      throwMeaning(rules, seen);
      const { submitted } = known ?? { submitted: seen.view };
      const variables = { call: viewCall(call), reply: seen.view, submitted };
      const word = text(state?.value(variables));
      if (word !== undefined && file.failed.includes(word)) throw failedJob(seen.words);
      const isDone = word !== undefined && file.done.includes(word);
      if (isDone && result === undefined) return { kind: 'done', reply: again() };
      if (!isDone && !file.running.includes(word ?? '')) throw invalidAnswer('it names no state of a job');
      const request = fill(isDone ? result : look, variables);
      if (request === undefined) throw invalidAnswer('it names no job that could be asked for');
      return {
        kind: 'again',
        request,
        now: isDone,
        isMade: isDone,
        cancel: fill(cancel, variables),
        state: { submitted, isFetching: isDone } satisfies JobState,
      };
    });
  };
}

/** A request that is not asked which of its expressions had a value. */
const fill = (template: RequestTemplate | undefined, variables: Variables): WireRequest | undefined =>
  template?.write({ variables, sent: new Set() });
