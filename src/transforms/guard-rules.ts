/** What the rules of a `guard` look for, each kind by itself. */
import type { GuardConfig, GuardRuleFile } from '../generated/stages/guard.ts';
import { compileKeywords, plainText } from '../keywords.ts';
import { compilePattern } from '../pattern.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import { ConfigError, type StageEnv } from '../pipeline/stage.ts';
import { createModerationJudge } from './guard-moderation.ts';
import { createWebhookJudge } from './guard-webhook.ts';

/** What a rule has found, for the log, and what it wants the caller to be told. */
export interface Finding {
  readonly found: string;
  readonly message?: string | undefined;
}

/** What the rules look at. */
export interface Subject {
  readonly exchange: ExchangeView<never, 'caller' | 'target'>;
  /** The pictures behind links have been fetched if some rule wants to see them. */
  readonly call: ImageCall;
  /** What the caller wrote, in words. */
  readonly texts: readonly string[];
}

/** Decides by itself, at once. */
export type LocalJudge = (texts: readonly string[]) => Finding | undefined;

/** Asks somebody. @throws ServiceFailure when there is no proper answer; the signal's reason */
export type RemoteJudge = (subject: Subject, signal: AbortSignal) => Promise<Finding | undefined>;

export interface Rule<Judge> {
  readonly id: string;
  readonly blocks: boolean;
  /** Whether a call goes on when the rule cannot tell. */
  readonly lenient: boolean;
  readonly message: string | undefined;
  readonly judge: Judge;
}

export interface Rules {
  readonly local: readonly Rule<LocalJudge>[];
  readonly remote: readonly Rule<RemoteJudge>[];
  /** Whether one of them wants the pictures themselves. */
  readonly wantsPictures: boolean;
}

/** @throws ConfigError for a rule that is none, or that looks for several things */
export function compileRules({ rules }: GuardConfig, env: StageEnv): Rules {
  const local: Rule<LocalJudge>[] = [];
  const remote: Rule<RemoteJudge>[] = [];
  const ids = new Set<string>();
  for (const [index, file] of rules.entries()) {
    const pointer = `/rules/${index}`;
    if (ids.has(file.id)) throw new ConfigError(`${pointer}/id`, `\`${file.id}\` is the id of another rule already`);
    ids.add(file.id);
    const rule = {
      id: file.id,
      blocks: file.action === 'block',
      lenient: file.on_failure === 'allow' || file.action === 'report',
      message: file.message,
    };
    const { kind, judge } = compileJudge(file, pointer, env);
    if (kind === 'local') local.push({ ...rule, judge });
    else remote.push({ ...rule, judge });
  }
  return { local, remote, wantsPictures: rules.some(({ webhook }) => webhook?.include_images === true) };
}

type CompiledJudge =
  { readonly kind: 'local'; readonly judge: LocalJudge } | { readonly kind: 'remote'; readonly judge: RemoteJudge };

function compileJudge(rule: GuardRuleFile, pointer: string, env: StageEnv): CompiledJudge {
  const { keywords, pattern, moderation, webhook } = rule;
  const judges: (CompiledJudge | undefined)[] = [
    keywords && { kind: 'local', judge: createKeywordJudge(keywords, rule.whole_words) },
    pattern && { kind: 'local', judge: createPatternJudge(pattern) },
    moderation && { kind: 'remote', judge: createModerationJudge(moderation, env) },
    webhook && { kind: 'remote', judge: createWebhookJudge(webhook, env) },
  ];
  const [judge, ...others] = judges.filter((each) => each !== undefined);
  if (judge === undefined || others.length > 0) {
    throw new ConfigError(
      pointer,
      'a rule has exactly one of `keywords`, `pattern`, `moderation` and `webhook`: write several rules for several things',
    );
  }
  return judge;
}

function createKeywordJudge(words: readonly string[], wholeWords: boolean): LocalJudge {
  const keywords = compileKeywords(words, wholeWords);
  return function findKeyword(texts) {
    for (const text of texts) {
      const word = keywords.findIn(text);
      if (word !== undefined) return { found: word };
    }
    return undefined;
  };
}

/** A text is searched as it is, and once more without what hides words in it. */
function createPatternJudge(sources: readonly string[]): LocalJudge {
  const patterns = sources.map(compilePattern);
  return function findPattern(texts) {
    const spellings = new Set(texts.flatMap((text) => [text, plainText(text)]));
    for (const text of spellings) {
      const pattern = patterns.find((each) => each.isIn(text));
      if (pattern !== undefined) return { found: pattern.source };
    }
    return undefined;
  };
}

/** Everything that a caller has put into words: the prompt, the style, and what is in the parameters that only the provider knows. */
export function textsOf(call: ImageCall, skipped: ReadonlySet<string>): readonly string[] {
  const further = Object.entries(call.unknown).flatMap(([name, value]) => (skipped.has(name) ? [] : textsIn(value)));
  const texts = [call.prompt ?? '', call.parameters.style ?? '', ...further];
  return texts.filter((text) => text !== '');
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
