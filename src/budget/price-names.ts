/** By which names the built-in table lists what our providers sell. Data about the table, and no rule of the gateway's. */

/** The table's names of a vendor, by each name that the provider has with us; where there is none, it is the same. */
const listed: Readonly<Record<string, readonly string[]>> = {
  grok: ['xai'],
  'x-ai': ['xai'],
  vertex: ['vertex-ai'],
  'google-vertex': ['vertex-ai'],
  'black-forest-labs': ['bfl'],
  'luma-agents': ['luma'],
  forge: ['automatic1111'],
  // What else is deployed beside OpenAI's models is sold under the name of the platform.
  'azure-openai': ['azure-openai', 'azure-ai'],
};

/** How else the models of a vendor are written, with what the table has in its place. */
const spellings: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  fireworks: [[/^accounts\/fireworks\/models\//, '']],
  // Inference profiles of a region.
  bedrock: [[/^(?:us|eu|apac|global)\.(?=\w+\.)/, '']],
  ideogram: [[/^(?:ideogram-)?v[-_]?([34])(?:[-_.]0)?$/i, 'ideogram-v$1']],
  stability: [
    [/^(?:stable-image-|generate\/)/, ''],
    [/^(erase|inpaint|outpaint|search-and-replace|search-and-recolor|remove-background)$/, 'edit/$1'],
    [/^(fast|conservative|creative)$/, 'upscale/$1'],
    [/^(sketch|structure|style|style-transfer)$/, 'control/$1'],
    // The family's path alone means its largest.
    [/^sd3$/, 'sd3.5-large'],
  ],
  recraft: [
    [/^remove-background$/, 'removeBackground'],
    [/^crisp-upscale$/, 'crispUpscale'],
    [/^creative-upscale$/, 'creativeUpscale'],
    [/^erase-region$/, 'eraseRegion'],
    [/^replace-background$/, 'recraftv3:replaceBackground'],
  ],
};

/** The table's names of the vendor that one of our names stands for, the likeliest first. */
export function listedProviders(provider: string): readonly string[] {
  return Object.hasOwn(listed, provider) ? (listed[provider] ?? []) : [provider];
}

/** A model as the table spells it. @param provider by the table's name */
export function listedModel(provider: string, model: string): string {
  const rules = Object.hasOwn(spellings, provider) ? (spellings[provider] ?? []) : [];
  return rules.reduce((name, [written, replacement]) => name.replace(written, replacement), model);
}
