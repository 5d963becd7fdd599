/** The image models of Amazon Bedrock: the maker of each decides what its requests look like. */
import type { Operation, TargetCall } from '../pipeline/call.ts';
import { novaCapabilities, novaMembers } from './nova-canvas.ts';
import type { KnownModel, OperationCapabilities } from './provider.ts';
import { bareBase64, type WireMembers } from './requests.ts';
import { stableImageMembers, stableImageTasks, type StableImageTask } from './stable-image.ts';

export const bedrockModels: readonly KnownModel[] = [
  { name: 'stability.stable-image-core-v1:1' },
  { name: 'stability.stable-image-ultra-v1:1' },
  { name: 'stability.sd3-5-large-v1:0' },
  { name: 'stability.stable-image-inpaint-v1:0' },
  { name: 'stability.stable-image-erase-object-v1:0' },
  { name: 'stability.stable-image-search-replace-v1:0' },
  { name: 'stability.stable-image-search-recolor-v1:0' },
  { name: 'stability.stable-image-remove-background-v1:0' },
  { name: 'stability.stable-image-control-sketch-v1:0' },
  { name: 'stability.stable-image-control-structure-v1:0' },
  { name: 'stability.stable-image-style-guide-v1:0' },
  { name: 'stability.stable-style-transfer-v1:0' },
  { name: 'stability.stable-outpaint-v1:0' },
  { name: 'stability.stable-fast-upscale-v1:0' },
  { name: 'stability.stable-creative-upscale-v1:0' },
  { name: 'stability.stable-conservative-upscale-v1:0' },
  { name: 'amazon.nova-canvas-v1:0', retired: '2026-09-30', successor: 'stability.stable-image-core-v1:1' },
  { name: 'amazon.titan-image-*', retired: '2026', successor: 'stability.stable-image-core-v1:1' },
];

/** A generator of Stable Image writes fewer formats here, and takes less. */
function narrowed({ generation, edition, ...task }: StableImageTask): StableImageTask {
  const narrow = (capabilities: OperationCapabilities): OperationCapabilities => ({
    ...capabilities,
    parameters: { ...capabilities.parameters, outputFormat: 'mapped' },
    further: capabilities.further === 'any' ? 'any' : capabilities.further.filter((name) => known.has(name)),
  });
  return {
    ...task,
    ...(generation === undefined ? {} : { generation: narrow(generation) }),
    ...(edition === undefined ? {} : { edition: narrow(edition) }),
    formats: ['png', 'jpeg'],
  };
}
const known: ReadonlySet<string> = new Set(['negative_prompt', 'aspect_ratio', 'strength']);

const sd3 = narrowed(stableImageTasks.sd3);

/** Stable Image's tasks by what stands in the middle of their names, as in `stability.stable-image-erase-object-v1:0`. */
const tasks: ReadonlyMap<string, StableImageTask> = new Map([
  ['core', narrowed(stableImageTasks.core)],
  ['ultra', narrowed(stableImageTasks.ultra)],
  ['inpaint', stableImageTasks.inpaint],
  ['erase-object', stableImageTasks.erase],
  ['search-replace', stableImageTasks['search-and-replace']],
  ['search-recolor', stableImageTasks['search-and-recolor']],
  ['remove-background', stableImageTasks['remove-background']],
  ['control-sketch', stableImageTasks.sketch],
  ['control-structure', stableImageTasks.structure],
  ['style-guide', stableImageTasks.style],
  ['style-transfer', stableImageTasks['style-transfer']],
  ['outpaint', stableImageTasks.outpaint],
  ['fast-upscale', stableImageTasks.fast],
  ['creative-upscale', stableImageTasks.creative],
  ['conservative-upscale', stableImageTasks.conservative],
]);

/** What is not known yet is taken for a model of the family that new ones join. */
function taskOf(model: string): StableImageTask {
  const name = /stability\.(?:stable-)?(?:image-)?([\w-]+?)-v\d/.exec(model)?.[1];
  return tasks.get(name ?? '') ?? sd3;
}

function isAmazons(model: string): boolean {
  return /amazon\.(nova-canvas|titan-image)/.test(model);
}

export function bedrockCapabilities(model: string, operation: Operation): OperationCapabilities | undefined {
  return (isAmazons(model) ? novaCapabilities(model) : taskOf(model))[operation];
}

/** A call as members, and the parameters whose value has no like here. */
export function bedrockMembers(call: TargetCall): {
  readonly members: WireMembers;
  readonly dropped: readonly string[];
} {
  if (isAmazons(call.model)) return novaMembers(call);
  const task = taskOf(call.model);
  const { members, dropped } = stableImageMembers(task, call);
  const pictures = call.images.map((image, index) => [task.pictures[index] ?? 'image', bareBase64(image)] as const);
  return {
    members: { ...members, ...Object.fromEntries(pictures), mask: call.mask && bareBase64(call.mask) },
    dropped,
  };
}
