import schema from '../../schemas/providers/comfyui.schema.json' with { type: 'json' };
import type { ComfyuiConfig } from '../generated/providers/comfyui.ts';
import { pointerTo } from '../json-pointer.ts';
import type { Operation, TargetCall } from '../pipeline/call.ts';
import type { WireRequest } from '../pipeline/upstream.ts';
import { comfyWords } from './comfyui-faults.ts';
import { createComfyServer, decodePictures, picturesOf, pollComfyJob } from './comfyui-jobs.ts';
import { compileWorkflow, type Workflow, type WorkflowValues } from './comfyui-workflow.ts';
import { faultReader } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type Provider } from './provider.ts';
import { fittingPixels } from './sizes.ts';

/** A ComfyUI of one's own. Its models are workflows. Source: Comfy-Org/ComfyUI, server.py and execution.py. */
export const comfyui = defineProvider({
  name: 'comfyui',
  aliases: [],
  schema,
  tokenOptional: true,
  models: [],
  create({ connection }: ComfyuiConfig): Provider {
    const server = createComfyServer(connection.base_url, connection.headers);
    const workflows = compileWorkflows(connection.workflows);
    const seedOf = createSeeds();
    const workflowOf = (model: string, operation: Operation): Workflow | undefined =>
      workflows.get(`${operation} ${model}`);

    /** The request that has the graph run. @param attempt from 0 on */
    function run(call: TargetCall, uploaded: readonly string[], attempt: number): WireRequest {
      const workflow = workflowOf(call.model, call.operation);
      if (workflow === undefined) throw new TypeError('this provider promises no such operation');
      const seed = call.parameters.seed ?? seedOf(call) + attempt;
      return server.post('prompt', { prompt: workflow.fill(valuesOf(call, uploaded, seed)) });
    }

    return {
      origin: new URL(server.base).origin,
      speaksOpenAi: false,
      capabilities: (model, operation) => workflowOf(model, operation)?.capabilities,
      encode(call): EncodedCall {
        const [first] = picturesOf(call);
        // Filled in before pictures are sent as well, so that what the graph lacks is told at once.
        const running = run(
          call,
          picturesOf(call).map(() => ''),
          0,
        );
        const dropped = stepsOfQuality.has(call.parameters.quality) ? [] : ['quality'];
        return { request: first === undefined ? running : server.upload(first), dropped };
      },
      authorise: bearer,
      poll: (reply, asked) => pollComfyJob(reply, asked, server, run),
      decode: decodePictures,
      fault: faultReader(comfyWords),
    };
  },
});

function compileWorkflows(models: ComfyuiConfig['connection']['workflows']): ReadonlyMap<string, Workflow> {
  const compiled = Object.entries(models).flatMap(([model, graphs]) =>
    Object.entries(graphs).map(([operation, graph]) => {
      const at = pointerTo('/connection/workflows', model, operation);
      return [`${operation} ${model}`, compileWorkflow(graph, at)] as const;
    }),
  );
  return new Map(compiled);
}

/**
 * Seeds for calls that ask for none. A graph that has been run before is not run again, and gives nothing, so no two calls
 * may have the same seed. A provider draws no lots, hence the counter; the prompt keeps seeds apart when it begins anew.
 */
function createSeeds(): (call: TargetCall) => number {
  const seeds = new WeakMap<TargetCall, number>();
  let calls = 0;
  return (call) => {
    const known = seeds.get(call);
    if (known !== undefined) return known;
    calls += 1;
    const seed = hash(`${calls} ${call.prompt ?? ''}`);
    seeds.set(call, seed);
    return seed;
  };
}

/** FNV-1a: 32 bits. */
function hash(words: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(words)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

/** Latents of all current models lie on a grid of 16 pixels or finer. */
const pixelRules = { multipleOf: 16, least: 64, most: 4096 };

const stepsOfQuality: ReadonlyMap<string | undefined, number | undefined> = new Map([
  [undefined, undefined],
  ['auto', undefined],
  ['standard', undefined],
  ['low', 10],
  ['medium', 20],
  ['high', 40],
  ['hd', 40],
  ['xhigh', 60],
  ['max', 80],
]);

/** @param uploaded the names of the call's pictures on the server, that of the mask last */
function valuesOf(call: TargetCall, uploaded: readonly string[], seed: number): WorkflowValues {
  const { images, mask, parameters, prompt, unknown } = call;
  const { n, size, quality } = parameters;
  const [image, second, third, fourth] = uploaded.slice(0, images.length);
  const pixels = fittingPixels(size, pixelRules);
  return {
    steps: stepsOfQuality.get(quality),
    ...unknown,
    prompt,
    n,
    width: pixels?.width,
    height: pixels?.height,
    seed,
    image,
    image_2: second,
    image_3: third,
    image_4: fourth,
    mask: mask === undefined ? undefined : uploaded[images.length],
  };
}
