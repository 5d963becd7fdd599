/** The providers that come with the gateway. A new one takes a line here. */
import { openai } from './openai.ts';
import { openaiCompatible } from './openai-compatible.ts';
import type { ProviderDefinition } from './provider.ts';
import { sandbox } from './sandbox.ts';

export const providers: readonly ProviderDefinition[] = [openai, openaiCompatible, sandbox];
