/** A job of ComfyUI: pictures are uploaded, a graph is queued, its history looked at, and what it saved is fetched. */
import { bytesSource } from '../body/byte-source.ts';
import { sniffMediaType } from '../images/probe.ts';
import type { InputImage, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { answerOf, invalidAnswer, keepReply, list, object, readObject, text, type Members } from './answers.ts';
import { failureOf } from './comfyui-faults.ts';
import type { Asked, PollOutcome } from './provider.ts';
import { filePart, getJson, postJson, withoutSlash } from './requests.ts';

/** The requests that ComfyUI takes. */
export interface ComfyServer {
  readonly base: string;
  post(path: string, members: Parameters<typeof postJson>[1]): WireRequest;
  get(path: string, accept?: string): WireRequest;
  upload(image: InputImage): WireRequest;
}

/** @param own headers for each request */
export function createComfyServer(baseUrl: string, own: Readonly<Record<string, string>>): ComfyServer {
  const base = withoutSlash(baseUrl);
  const headers = Object.fromEntries(Object.entries(own).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    base,
    post: (path, members) => postJson(`${base}/${path}`, members, headers),
    get: (path, accept = 'application/json') => getJson(`${base}/${path}`, { accept, ...headers }),
    upload: (image) => ({
      method: 'POST',
      url: `${base}/upload/image`,
      headers: { accept: 'application/json', ...headers },
      // It never overwrites: a file of the same name gets another one, which the answer tells.
      body: { kind: 'multipart', parts: [filePart('image', 'pinhole', image)] },
    }),
  };
}

/** What has to be uploaded, the mask last. */
export function picturesOf({ images, mask }: TargetCall): readonly InputImage[] {
  return mask === undefined ? images : [...images, mask];
}

/** What was asked last, and what is known by then. */
type Job =
  /** A picture was uploaded; these were before. */
  | { readonly at: 'upload'; readonly uploaded: readonly string[] }
  | { readonly at: 'prompt'; readonly uploaded: readonly string[]; readonly attempt: number }
  | { readonly at: 'history'; readonly uploaded: readonly string[]; readonly attempt: number; readonly id: string }
  /** A picture was fetched; these were before, and these are left. */
  | { readonly at: 'view'; readonly fetched: readonly Uint8Array[]; readonly left: readonly string[] };

/** Uploads, the graph, looks at the history until it is there, and then each of the pictures in it. */
export async function pollComfyJob(
  reply: UpstreamReply,
  { call, request, state }: Asked,
  server: ComfyServer,
  run: (call: TargetCall, uploaded: readonly string[], attempt: number) => WireRequest,
): Promise<PollOutcome> {
  const pictures = picturesOf(call);
  const at = pictures.length > 0 ? 'upload' : 'prompt';
  // Only this function makes the state that comes back to it.
  const job = (state as Job | undefined) ?? { at, uploaded: [], attempt: 0 };

  if (job.at === 'view') return nextPicture(reply, job, server);
  const document = await readObject(reply);
  const runIt = (uploaded: readonly string[], attempt: number): PollOutcome => ({
    kind: 'again',
    now: true,
    request: run(call, uploaded, attempt),
    state: { at: 'prompt', uploaded, attempt } satisfies Job,
  });
  switch (job.at) {
    case 'upload': {
      const uploaded = [...job.uploaded, nameOf(document)];
      const next = pictures[uploaded.length];
      if (next === undefined) return runIt(uploaded, 0);
      return {
        kind: 'again',
        now: true,
        request: server.upload(next),
        state: { at: 'upload', uploaded } satisfies Job,
      };
    }
    case 'prompt': {
      const id = text(document['prompt_id']);
      if (id === undefined) throw invalidAnswer('it names no job');
      return {
        kind: 'again',
        request: server.get(`history/${encodeURIComponent(id)}`),
        cancel: server.post('interrupt', { prompt_id: id }),
        state: { ...job, at: 'history', id } satisfies Job,
      };
    }
    case 'history': {
      if (Object.keys(document).length === 0) return { kind: 'again', request, state: job };
      if (!Object.hasOwn(document, job.id)) throw invalidAnswer('it is about another job');
      const entry = document[job.id];
      const failure = failureOf(object(object(entry)['status']));
      if (failure !== undefined) throw failure;
      const [first, ...left] = viewsOf(object(entry)).slice(0, call.parameters.n ?? 1);
      if (first !== undefined) return nextView(first, left, [], server);
      // It has seen this seed before, from an earlier life of the gateway.
      const mayRepeat = call.parameters.seed === undefined && job.attempt === 0;
      if (mayRepeat) return runIt(job.uploaded, job.attempt + 1);
      throw invalidAnswer('the workflow has saved no picture');
    }
  }
}

/** Where the picture lies that was uploaded, as nodes name it. */
function nameOf({ name, subfolder }: Members): string {
  const file = text(name);
  if (file === undefined) throw invalidAnswer('it does not name the picture that was uploaded');
  const folder = text(subfolder);
  return folder === undefined ? file : `${folder}/${file}`;
}

/** The paths of what was saved; previews are not meant to be kept. */
function viewsOf(entry: Members): readonly string[] {
  const outputs = Object.values(object(entry['outputs'])).flatMap((output) => list(object(output)['images']));
  return outputs.map(object).flatMap(({ filename, subfolder, type }) => {
    const file = text(filename);
    if (file === undefined || type !== 'output') return [];
    const query = new URLSearchParams({ filename: file, subfolder: text(subfolder) ?? '', type });
    return [`view?${query.toString()}`];
  });
}

function nextView(
  path: string,
  left: readonly string[],
  fetched: readonly Uint8Array[],
  server: ComfyServer,
): PollOutcome {
  const state: Job = { at: 'view', fetched, left };
  // There is nothing left to be called off; older versions would interrupt whatever runs by then.
  return { kind: 'again', now: true, isMade: true, request: server.get(path, 'image/*'), cancel: undefined, state };
}

/** How many bytes each of the pictures has that lie one behind the other in the last answer. */
const lengthsHeader = 'x-picture-lengths';

async function nextPicture(
  reply: UpstreamReply,
  { fetched, left: [path, ...left] }: Job & { readonly at: 'view' },
  server: ComfyServer,
): Promise<PollOutcome> {
  const { bytes } = await keepReply(reply);
  const pictures = [...fetched, bytes];
  if (path !== undefined) return nextView(path, left, pictures, server);
  const lengths = pictures.map(({ byteLength }) => byteLength).join();
  const headers = { ...reply.headers, [lengthsHeader]: lengths };
  return { kind: 'done', reply: { ...reply, headers, body: bytesSource(Buffer.concat(pictures)) } };
}

/** The pictures that lie one behind the other in the answer that `pollComfyJob` has made. */
export async function decodePictures(reply: UpstreamReply): Promise<ImageAnswer> {
  const { bytes } = await keepReply(reply);
  let end = 0;
  const pictures = (reply.headers[lengthsHeader] ?? '').split(',').map((length) => {
    const start = end;
    end += Number(length);
    return bytes.subarray(start, end);
  });
  if (!pictures.every((picture) => sniffMediaType(picture) !== undefined)) throw invalidAnswer('it has no pictures');
  return answerOf(pictures.map((picture) => ({ kind: 'bytes', bytes: picture })));
}
