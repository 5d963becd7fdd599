/** A rule that asks a service of the operator's own. */
import { createHash, randomUUID } from 'node:crypto';
import type { GuardWebhookFile } from '../generated/stages/guard.ts';
import { payloadByteLength, payloadBytes } from '../images/convert-payload.ts';
import { isJsonObject } from '../json.ts';
import type { InputImage } from '../pipeline/call.ts';
import { ServiceFailure, type StageEnv } from '../pipeline/stage.ts';
import { PictureText, type WireJson } from '../pipeline/upstream.ts';
import { Secret } from '../secret.ts';
import type { RemoteJudge, Subject } from './guard-rules.ts';
import { connectService } from './guard-service.ts';

/** Characters of a service's message that a caller is shown. */
const maxMessageLength = 1000;

export function createWebhookJudge(file: GuardWebhookFile, env: StageEnv): RemoteJudge {
  const { url, include_images: withBytes } = file;
  const service = connectService(url, env);
  const headers = Object.entries(file.headers).map(([name, value]) => [name.toLowerCase(), new Secret(value)] as const);
  const secret = file.secret === undefined ? undefined : new Secret(file.secret);

  return async function ask(subject, signal) {
    const answer = await service.ask(
      {
        url,
        headers: Object.fromEntries(headers.map(([name, value]) => [name, value.reveal()])),
        body: await describe(subject, withBytes),
        signature: secret && {
          secret,
          // Not the request's id, which the caller may choose: a service may know answers by it.
          id: `guard_${randomUUID()}`,
          timestamp: Math.floor(env.clock.now() / 1000),
        },
      },
      signal,
    );
    if (!isJsonObject(answer) || typeof answer['allow'] !== 'boolean') {
      throw new ServiceFailure('the service’s answer has no `allow` of true or false');
    }
    if (answer['allow']) return undefined;
    const { message } = answer;
    return {
      found: 'refused',
      message: typeof message === 'string' && message !== '' ? message.slice(0, maxMessageLength) : undefined,
    };
  };
}

/** The call as the service sees it. */
async function describe({ exchange, call }: Subject, withBytes: boolean): Promise<WireJson> {
  const { caller, target, route } = exchange;
  const pictures = [...call.images, ...(call.mask === undefined ? [] : [call.mask])];
  const described = await Promise.all(pictures.map((image) => describePicture(image, withBytes)));
  return {
    request_id: exchange.id,
    route: route.id,
    consumer: caller?.consumer?.id ?? null,
    user: caller?.consumer?.user ?? null,
    team: caller?.consumer?.team ?? null,
    metadata: caller?.consumer?.metadata ?? {},
    end_user: caller?.endUser ?? null,
    session: caller?.session ?? null,
    entity: target?.entity.id ?? null,
    model: target?.model ?? call.model ?? null,
    operation: call.operation,
    prompt: call.prompt ?? null,
    style: call.parameters.style ?? null,
    extra: call.unknown,
    images: described.slice(0, call.images.length),
    mask: described[call.images.length] ?? null,
  };
}

async function describePicture(image: InputImage, withBytes: boolean): Promise<WireJson> {
  if (image.kind === 'provider-file') return { file_id: image.id };
  const { payload, mediaType } = image;
  if (payload.kind === 'link') return { url: payload.url };
  const digest = createHash('sha256');
  for await (const chunk of payloadBytes(payload)) digest.update(chunk);
  return {
    media_type: mediaType ?? null,
    bytes: payloadByteLength(payload) ?? null,
    sha256: digest.digest('hex'),
    ...(withBytes ? { data: new PictureText(payload) } : {}),
  };
}
