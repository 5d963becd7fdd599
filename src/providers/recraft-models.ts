import type { Operation } from '../pipeline/call.ts';
import type { OperationCapabilities, SupportedParameters } from './provider.ts';

/** What Recraft's models and tools take. Source: recraft.ai/docs, API reference, "Endpoints" and "Appendix" (November 2026). */

const further = ['style_id', 'substyle', 'negative_prompt', 'controls', 'text_layout', 'random_seed', 'image_format'];
const making: SupportedParameters = { n: 'native', size: 'mapped', seed: 'mapped' };
const generation: OperationCapabilities = { maxImages: 6, nativeForm: 'url', parameters: making, further };
const edition: OperationCapabilities = {
  ...generation,
  parameters: { n: 'native' },
  further: [...further, 'strength'],
  inputs: { max: 1, as: 'bytes' },
  mask: 'white',
};
/** Styles by name are for the second and the third generation; the models of the fourth refuse them. */
const hasStyles = (model: string): boolean => /^recraftv[23]/.test(model);
const styled: OperationCapabilities = { ...generation, parameters: { ...making, style: 'native' } };
const styledEdition: OperationCapabilities = { ...edition, parameters: { n: 'native', style: 'native' } };

const { mask: _mask, ...withoutMask } = edition;
const tool: OperationCapabilities = { ...withoutMask, maxImages: 1, parameters: {}, further: ['image_format'] };
const wordless: OperationCapabilities = { ...tool, promptOptional: true };
export const tools: ReadonlyMap<string, { readonly path: string; readonly edition: OperationCapabilities }> = new Map([
  ['remove-background', { path: 'removeBackground', edition: wordless }],
  ['crisp-upscale', { path: 'crispUpscale', edition: wordless }],
  ['creative-upscale', { path: 'creativeUpscale', edition: wordless }],
  ['vectorize', { path: 'vectorize', edition: wordless }],
  ['erase-region', { path: 'eraseRegion', edition: { ...wordless, mask: 'white' } }],
  ['replace-background', { path: 'replaceBackground', edition: tool }],
]);

export function capabilities(model: string, operation: Operation): OperationCapabilities | undefined {
  const named = tools.get(model);
  if (operation === 'generation') return named === undefined ? (hasStyles(model) ? styled : generation) : undefined;
  return named?.edition ?? (hasStyles(model) ? styledEdition : edition);
}

const sizes = (
  '1024x1024 1536x768 768x1536 1280x832 832x1280 1216x896 896x1216 1152x896 896x1152 ' +
  '832x1344 1280x896 896x1280 1344x768 768x1344'
).split(' ');
const proSizes = sizes.map((size) => size.replaceAll(/\d+/g, (side) => String(Number(side) * 2)));
const olderSizes = (
  '1024x1024 1365x1024 1024x1365 1536x1024 1024x1536 1820x1024 1024x1820 1024x2048 2048x1024 ' +
  '1434x1024 1024x1434 1024x1280 1280x1024 1024x1707 1707x1024'
).split(' ');

export function sizesOf(model: string): readonly string[] {
  if (hasStyles(model)) return olderSizes;
  return /_pro(_|$)/.test(model) ? proSizes : sizes;
}
