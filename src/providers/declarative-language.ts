/** What the expressions of a declarative provider see: the call, the answer, pictures, and functions for both. */
import { LongText } from '../body/json-scan.ts';
import { wireNames, type ImageParameters, type InputImage, type TargetCall } from '../pipeline/call.ts';
import type { UpstreamReply, WireJson } from '../pipeline/upstream.ts';
import { Absent, createLanguage, ExpressionError, toCel, type Compile, type Fields } from './cel.ts';
import { commonWords } from './faults.ts';
import { bareBase64, dataUri, linkOf } from './requests.ts';
import { askedSize, fittingPixels, nearestRatio, nearestSize } from './sizes.ts';

/** An input picture. Expressions can only hand it on: its bytes never become text. */
export class Picture {
  readonly image: InputImage;

  constructor(image: InputImage) {
    this.image = image;
  }
}

/** A picture in the form in which a JSON document carries it. */
export class SentPicture {
  readonly value: WireJson;

  constructor(value: WireJson) {
    this.value = value;
  }
}

/** The call in wire spelling. What the caller did not say is absent. */
const callFields = {
  operation: 'string',
  model: 'string',
  prompt: 'string',
  n: 'int',
  size: 'string',
  width: 'int',
  height: 'int',
  quality: 'string',
  style: 'string',
  background: 'string',
  moderation: 'string',
  output_format: 'string',
  output_compression: 'int',
  input_fidelity: 'string',
  user: 'string',
  seed: 'int',
  response_format: 'string',
  images: 'list<Picture>',
  mask: 'Picture',
  further: 'map<string, dyn>',
} as const satisfies Fields;

const replyFields = {
  status: 'int',
  headers: 'map<string, string>',
  /** The JSON document. */
  body: 'dyn',
  /** The text of an error, from wherever vendors usually put it. */
  words: 'string',
} as const satisfies Fields;

const language = createLanguage({
  types: {
    LongText: { ctor: LongText, fields: {} },
    Picture: { ctor: Picture, fields: {} },
    SentPicture: { ctor: SentPicture, fields: {} },
    Call: { fields: callFields },
    Reply: { fields: replyFields },
  },
  functions: {
    'dataUri(Picture): SentPicture': ({ image }: Picture) => new SentPicture(dataUri(image)),
    'base64(Picture): SentPicture': ({ image }: Picture) => new SentPicture(bareBase64(image)),
    'link(Picture): string': ({ image }: Picture) => linkOf(image),
    'nearestRatio(string, list<string>): string': (size: string, ratios: string[]) => given(nearestRatio(size, ratios)),
    'nearestSize(string, list<string>): string': (size: string, sizes: string[]) => given(nearestSize(size, sizes)),
    'pixels(string, int, int, int): map<string, int>': (
      size: string,
      multipleOf: bigint,
      least: bigint,
      most: bigint,
    ) => {
      const rules = { multipleOf: Number(multipleOf), least: Number(least), most: Number(most) };
      if (rules.multipleOf < 1) throw new ExpressionError('The sides can only be multiples of 1 or more');
      return toCel(given(fittingPixels(size, rules)));
    },
  },
});

/** A place in the configuration, by what its expressions see. */
export type Place = 'request' | 'next' | 'answer' | 'image' | 'error';

/** Compilers for the places. */
export const compileFor: Readonly<Record<Place, Compile>> = {
  /** The request for pictures. */
  request: language({ call: 'Call' }),
  /** What is asked about a job: `submitted` is the answer to its first request. */
  next: language({ call: 'Call', reply: 'Reply', submitted: 'Reply' }),
  answer: language({ call: 'Call', reply: 'Reply' }),
  /** Each of the pictures in an answer. */
  image: language({ call: 'Call', reply: 'Reply', image: 'dyn' }),
  /** What an answer means that may be a failure: nothing is known then of the call. */
  error: language({ reply: 'Reply' }),
};

/** The call as expressions see it. @throws ExpressionError for lists without end */
export function viewCall(call: TargetCall): unknown {
  const { operation, model, prompt, parameters, responseFormat, images, mask, unknown } = call;
  const names = Object.keys(wireNames) as (keyof ImageParameters)[];
  const asked = askedSize(parameters.size);
  return toCel({
    operation,
    model,
    prompt,
    ...Object.fromEntries(names.map((name) => [wireNames[name], parameters[name]])),
    ...(asked?.kind === 'pixels' ? { width: asked.width, height: asked.height } : {}),
    response_format: responseFormat === 'b64_ephemeral' ? 'b64_json' : responseFormat,
    images: images.map((image) => new Picture(image)),
    mask: mask === undefined ? undefined : new Picture(mask),
    further: unknown,
  } satisfies Partial<Record<keyof typeof callFields, unknown>>);
}

/**
 * An answer as expressions see it.
 * @param body its document; absent if it has none
 * @throws ExpressionError for lists without end
 */
export function viewReply({ status, headers }: Omit<UpstreamReply, 'body'>, body: unknown): unknown {
  return toCel({ status, headers, body, words: commonWords(body).message });
}

function given<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Absent();
  return value;
}
