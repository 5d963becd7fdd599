import { importPKCS8, SignJWT } from 'jose';
import schema from '../../schemas/providers/vertex.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { VertexConfig } from '../generated/providers/vertex.ts';
import type { Operation } from '../pipeline/call.ts';
import type { WireRequest } from '../pipeline/upstream.ts';
import { Secret } from '../secret.ts';
import { invalidAnswer, number, object, readObject, text, type Members } from './answers.ts';
import { completeBase } from './base-url.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import {
  decodeContent,
  encodeContent,
  geminiEdition,
  geminiGeneration,
  googleImageModels,
  googleWords,
  modelUrl,
} from './google-images.ts';
import { cloudImagenEdition, cloudImagenGeneration, decodeImagen, encodeImagen, isImagen } from './google-imagen.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type OperationCapabilities, type Provider } from './provider.ts';

/** Google Cloud's Vertex AI. Source: cloud.google.com, "Generative AI on Vertex AI", REST reference (November 2026). */
export const vertex = defineProvider({
  name: 'vertex',
  aliases: ['vertex-ai', 'google-vertex'],
  schema,
  tokenOptional: false,
  models: googleImageModels,
  create({ connection }: VertexConfig): Provider {
    const { project, location, base_url: written, token_url: tokenUrl } = connection;
    const base = written === undefined ? `https://${hostOf(location)}/v1` : completeBase(written, '/v1');
    const models = `${base}/projects/${project}/locations/${location}/publishers/google/models`;
    const { origin } = new URL(base);
    const tokenOrigins = tokenUrl === undefined ? googleTokenOrigins : [new URL(tokenUrl).origin];
    const reaches = (other: string): boolean => other === origin || tokenOrigins.includes(other);
    return {
      origin,
      reaches,
      speaksOpenAi: false,
      capabilities,
      authorise: bearer,
      exchange: {
        async request(token, nowSeconds) {
          const credential = token.reveal().trim();
          if (!credential.startsWith('{')) return undefined;
          const request = await tradeRequest(readAccount(credential), tokenUrl, nowSeconds);
          if (reaches(new URL(request.url).origin)) return request;
          throw unusable('its `token_uri` is not one of Google’s; name it in `connection.token_url`');
        },
        async read(reply) {
          const told = await readObject(reply);
          const [token, lifetime] = [text(told['access_token']), number(told['expires_in'])];
          if (token === undefined || lifetime === undefined)
            throw invalidAnswer('it has no token, or none that expires');
          return { token: new Secret(token), lifetimeMs: lifetime * 1000 };
        },
      },
      encode: (call) =>
        isImagen(call.model)
          ? encodeImagen(modelUrl(models, call.model, 'predict'), call, { includeRaiReason: true })
          : encodeContent(modelUrl(models, call.model, 'generateContent'), call),
      decode: (reply, call) => (isImagen(call.model) ? decodeImagen(reply) : decodeContent(reply)),
      fault: faultReader(vertexWords),
    };
  },
});

/** Regions have a host each; the continents `us` and `eu` have another form of it. */
function hostOf(location: string): string {
  if (location === 'global') return 'aiplatform.googleapis.com';
  return location === 'us' || location === 'eu'
    ? `aiplatform.${location}.rep.googleapis.com`
    : `${location}-aiplatform.googleapis.com`;
}

/** Of the Imagen models one changes pictures and does nothing else. */
function capabilities(model: string, operation: Operation): OperationCapabilities | undefined {
  if (!isImagen(model)) return operation === 'generation' ? geminiGeneration : geminiEdition;
  const edits = model.startsWith('imagen-3.0-capability');
  if (edits !== (operation === 'edition')) return undefined;
  return edits ? cloudImagenEdition : cloudImagenGeneration;
}

const googleTokenUri = 'https://oauth2.googleapis.com/token';
/** The hosts that stand in keys of service accounts, those of past years among them. */
const googleTokenOrigins = [
  'https://oauth2.googleapis.com',
  'https://www.googleapis.com',
  'https://accounts.google.com',
];

/** The parser's own error stays here: it would show a piece of the key. */
function readAccount(credential: string): Members {
  try {
    return object(JSON.parse(credential));
  } catch {
    throw unusable('it begins like JSON but is not');
  }
}

/** The trade of RFC 7523 as in Google's "Using OAuth 2.0 for Server to Server Applications". */
async function tradeRequest(account: Members, tokenUrl: string | undefined, nowSeconds: number): Promise<WireRequest> {
  const audience = text(account['token_uri']) ?? googleTokenUri;
  const url = tokenUrl ?? audience;
  if (!URL.canParse(url)) throw unusable('its `token_uri` is no address');
  const assertion = await signedAssertion(account, audience, nowSeconds);
  return {
    method: 'POST',
    url,
    headers: { accept: 'application/json' },
    body: { kind: 'form', fields: { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion } },
  };
}

async function signedAssertion(account: Members, audience: string, nowSeconds: number): Promise<string> {
  const { client_email: email, private_key: key, private_key_id: keyId } = account;
  if (typeof email !== 'string' || typeof key !== 'string') throw unusable('it has no `client_email` or `private_key`');
  const jwt = new SignJWT({ scope: 'https://www.googleapis.com/auth/cloud-platform' })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...(typeof keyId === 'string' ? { kid: keyId } : {}) })
    .setIssuer(email)
    .setAudience(audience)
    .setIssuedAt(nowSeconds)
    .setExpirationTime(nowSeconds + 3600);
  try {
    return await jwt.sign(await importPKCS8(key, 'RS256'));
  } catch {
    throw unusable('its `private_key` is not one that signs with RS256');
  }
}

/** @param why for the log only */
function unusable(why: string): GatewayError {
  return new GatewayError('upstream_auth_failed', 'The service account of the gateway cannot be used.', {
    cause: new Error(`The service account in \`connection.token\`: ${why}.`),
  });
}

/** The host of tokens has OAuth's own error document, `{error: "invalid_grant", error_description}`, as a 400. */
function vertexWords(document: unknown): FaultWords {
  if (typeof object(document)['error'] !== 'string') return googleWords(document);
  const message = text(object(document)['error_description']) ?? commonWords(document).message;
  return { message, code: undefined, param: undefined, refusal: false, about: 'credential' };
}
