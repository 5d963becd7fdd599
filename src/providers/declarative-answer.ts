/** Where a declarative provider finds the pictures in an answer. */
import type { DeclarativeConfig } from '../generated/providers/declarative.ts';
import { sniffMediaType } from '../images/probe.ts';
import { pointerTo } from '../json-pointer.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, ResultImage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import {
  answerOf,
  base64Picture,
  keepReply,
  linkPicture,
  list,
  nanoUsd,
  readDocument,
  secondsOf,
  text,
} from './answers.ts';
import { toCel } from './cel.ts';
import { see, throwMeaning, understood, type Rule } from './declarative-errors.ts';
import { viewCall, type Place } from './declarative-language.ts';
import type { Formula, Reader, Variables } from './declarative-reader.ts';
import type { Provider } from './provider.ts';

export function compileAnswer(
  file: DeclarativeConfig['answer'],
  rules: readonly Rule[],
  reader: Reader,
): Provider['decode'] {
  const formula = (name: Exclude<keyof typeof file, 'raw'>, place: Place): Formula | undefined =>
    file[name] === undefined ? undefined : reader.formula(file[name], pointerTo('/answer', name), place);
  const images = formula('images', 'answer');
  const url = formula('url', 'image');
  const base64 = formula('base64', 'image');
  const revisedPrompt = formula('revised_prompt', 'image');
  const [created, size, cost] = (['created', 'size', 'cost_usd'] as const).map((name) => formula(name, 'answer'));
  if (file.raw && (images ?? url ?? base64) !== undefined) {
    reader.report('/answer/raw', 'the body is the picture: there are no `images` in it');
  }
  if (!file.raw && (file.images === undefined || (file.url ?? file.base64) === undefined)) {
    reader.report('/answer', 'an answer needs `images`, and a `url` or `base64` for each of them; or it is `raw`');
  }

  const told = (variables: Variables): Parameters<typeof answerOf>[1] => ({
    created: secondsOf(created?.value(variables)),
    effective: { size: text(size?.value(variables)) },
    costNanoUsd: nanoUsd(cost?.value(variables)),
  });

  function picture(variables: Variables): ResultImage | undefined {
    const payload = base64Picture(base64?.value(variables)) ?? linkPicture(url?.value(variables));
    return payload === undefined ? undefined : { payload, revisedPrompt: text(revisedPrompt?.value(variables)) };
  }

  function fromDocument(reply: UpstreamReply, document: unknown, call: TargetCall): ImageAnswer {
    return understood(() => {
      const seen = see(reply, document);
      throwMeaning(rules, seen);
      const variables = { call: viewCall(call), reply: seen.view };
      const found = list(images?.value(variables)).map((image) => picture({ ...variables, image: toCel(image) }));
      return answerOf(found, told(variables));
    });
  }

  if (!file.raw) return async (reply, call) => fromDocument(reply, await readDocument(reply), call);
  return async function decodeRaw(reply, call) {
    const { bytes, reply: again } = await keepReply(reply);
    if (sniffMediaType(bytes) === undefined) return fromDocument(reply, await readDocument(again()), call);
    const variables = { call: viewCall(call), reply: see(reply, undefined).view };
    return understood(() => answerOf([{ kind: 'bytes', bytes }], told(variables)));
  };
}
