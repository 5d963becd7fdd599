import type { Operation } from '../pipeline/call.ts';
import type { OperationCapabilities } from './provider.ts';

/** What Ideogram's models take. Source: developer.ideogram.ai, API reference (November 2026). */

export type Family = 'v3' | 'v4' | 'others';

/** `ideogram-v3`, and what it is called elsewhere: `V_3`, `V3`, `V_3_0`. */
export function familyOf(model: string): Family {
  const version = /^(?:ideogram-)?v[-_]?([34])(?:[-_.]0)?$/i.exec(model)?.[1];
  if (version === undefined) return 'others';
  return version === '3' ? 'v3' : 'v4';
}

const v3Members = [
  'negative_prompt',
  'magic_prompt',
  'rendering_speed',
  'resolution',
  'aspect_ratio',
  'style_type',
  'style_preset',
  'style_codes',
  'color_palette',
  'enable_copyright_detection',
];
const v3: OperationCapabilities = {
  maxImages: 8,
  nativeForm: 'url',
  parameters: { n: 'mapped', size: 'mapped', quality: 'mapped', style: 'mapped', seed: 'native' },
  further: v3Members,
};
const v4Members = ['json_prompt', 'resolution', 'rendering_speed', 'enable_copyright_detection'];
const v4: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'url',
  parameters: { size: 'mapped', quality: 'mapped' },
  further: v4Members,
};
const inputs = { max: 1, as: 'bytes' } as const;

export const familyCapabilities: Readonly<Record<Family, { readonly [Each in Operation]?: OperationCapabilities }>> = {
  v3: { generation: v3, edition: { ...v3, further: [...v3Members, 'image_weight'], inputs, mask: 'black' } },
  v4: { generation: v4, edition: { ...v4, further: [...v4Members, 'image_weight'], inputs } },
  // Their members differ from model to model; these two are the same in all that are documented.
  others: { generation: { ...v3, parameters: { n: 'mapped', seed: 'native' }, further: 'any' } },
};

/** The sizes of a list, and each of them turned on its side. */
function bothWays(sizes: string): readonly string[] {
  const listed = sizes.split(' ');
  return [...new Set([...listed, ...listed.map((size) => size.split('x').toReversed().join('x'))])];
}

export const v3Sizes = bothWays(
  '1024x1024 512x1536 576x1408 576x1472 576x1536 640x1344 640x1408 640x1472 640x1536 704x1152 704x1216 704x1280 ' +
    '704x1344 704x1408 704x1472 736x1312 768x1088 768x1216 768x1280 768x1344 800x1280 832x960 832x1024 832x1088 ' +
    '832x1152 832x1216 832x1248 864x1152 896x960 896x1024 896x1088 896x1120 896x1152 960x1024 960x1088',
);
export const v3Ratios = bothWays('1x1 1x2 1x3 2x3 3x4 4x5 9x16 10x16');
export const v4Sizes = bothWays(
  '2048x2048 1440x2880 1664x2496 1792x2240 1440x2560 1600x2560 1728x2304 1296x3168 1152x2944 1248x3328 1280x3072',
);

export const speeds: ReadonlyMap<string, string> = new Map([
  ['low', 'TURBO'],
  ['standard', 'DEFAULT'],
  ['medium', 'DEFAULT'],
  ['high', 'QUALITY'],
  ['hd', 'QUALITY'],
  ['xhigh', 'QUALITY'],
  ['max', 'QUALITY'],
]);
export const styles: ReadonlyMap<string, string> = new Map([
  ['natural', 'REALISTIC'],
  ...['auto', 'general', 'realistic', 'design', 'fiction'].map((name) => [name, name.toUpperCase()] as const),
]);
