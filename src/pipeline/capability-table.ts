/** What a model does in one operation, told in the words of the API: for `/api/capabilities` and the generated tables. */
import type { KnownModel, OperationCapabilities } from '../providers/provider.ts';
import { wireNames, type ImageParameters } from './call.ts';

/**
 * What becomes of a parameter. `native`: the vendor has it. `mapped`: it is translated into what the vendor has. `emulated`:
 * the gateway does it. `dropped`: nobody can, so the route's `unsupported_params` decides.
 */
export type ParameterFate = 'native' | 'mapped' | 'emulated' | 'dropped';

export interface CapabilityTable {
  /** Pictures that one request to the vendor can ask for. */
  readonly max_images: number;
  /** The form in which the vendor gives pictures. */
  readonly native_form: OperationCapabilities['nativeForm'];
  /** By wire name, all parameters of the images API. */
  readonly parameters: Readonly<Record<string, ParameterFate>>;
  /** Members beyond the images API that the vendor takes; `any` when all are passed on. */
  readonly further: readonly string[] | 'any';
  /** The most input images; 0 where none are taken. */
  readonly max_input_images: number;
  readonly prompt_optional: boolean;
}

export function capabilityTable(capabilities: OperationCapabilities): CapabilityTable {
  const { maxImages, nativeForm, parameters, further, inputs, mask, streams, promptOptional = false } = capabilities;
  const names = Object.keys(wireNames) as (keyof ImageParameters)[];
  const fates = names.map((name): [string, ParameterFate] => [wireNames[name], parameters[name] ?? 'dropped']);
  return {
    max_images: maxImages,
    native_form: nativeForm,
    parameters: {
      ...Object.fromEntries(fates),
      output_format: parameters.outputFormat ?? 'emulated',
      output_compression: parameters.outputCompression ?? 'emulated',
      // More pictures than a request can have are asked for in several.
      n: parameters.n ?? 'emulated',
      response_format: 'emulated',
      stream: streams === true ? 'native' : 'emulated',
      partial_images: streams === true ? 'native' : 'dropped',
      image: inputs === undefined ? 'dropped' : inputs.as === 'link' ? 'mapped' : 'native',
      mask: mask === undefined ? 'dropped' : mask === 'alpha' ? 'native' : 'mapped',
    },
    further,
    max_input_images: inputs?.max ?? 0,
    prompt_optional: promptOptional,
  };
}

/** What is known of a model by its name; the exact name goes before the family. */
export function knownModel(models: readonly KnownModel[], name: string): KnownModel | undefined {
  return (
    models.find((model) => model.name === name) ??
    models.find((model) => model.name.endsWith('*') && name.startsWith(model.name.slice(0, -1)))
  );
}
