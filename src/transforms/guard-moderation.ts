/** A rule that asks a moderation service: https://platform.openai.com/docs/api-reference/moderations */
import type { GuardModerationFile } from '../generated/stages/guard.ts';
import { isJsonObject } from '../json.ts';
import { ServiceFailure, type StageEnv } from '../pipeline/stage.ts';
import { Secret } from '../secret.ts';
import type { RemoteJudge } from './guard-rules.ts';
import { connectService } from './guard-service.ts';

export function createModerationJudge(file: GuardModerationFile, env: StageEnv): RemoteJudge {
  const url = `${file.base_url.replace(/\/+$/, '')}/moderations`;
  const token = new Secret(file.token);
  const service = connectService(url, env);
  const findIn = createReader(file);

  return async function moderate({ texts }, signal) {
    // A picture alone is nothing that this service is asked about.
    const [only, ...others] = texts;
    if (only === undefined) return undefined;
    const key = token.reveal();
    const answer = await service.ask(
      {
        url,
        headers: key === '' ? {} : { authorization: `Bearer ${key}` },
        body: {
          ...(file.model === '' ? {} : { model: file.model }),
          input: others.length === 0 ? only : texts,
        },
      },
      signal,
    );
    const found = new Set(resultsOf(answer, texts.length).flatMap(findIn));
    return found.size === 0 ? undefined : { found: [...found].join(', ') };
  };
}

type ResultReader = (result: Readonly<Record<string, unknown>>) => readonly string[];

/** @returns what reads from one result which categories apply */
function createReader({ categories, thresholds }: GuardModerationFile): ResultReader {
  const named = new Set([...categories, ...Object.keys(thresholds)]);
  const judgesAll = categories.length === 0;
  return function findIn({ flagged, categories: flags, category_scores: scores }) {
    if (typeof flagged !== 'boolean' || !isJsonObject(flags)) throw unexpected();
    const known: Readonly<Record<string, unknown>> = isJsonObject(scores) ? scores : {};
    // A name that the service does not have would never apply, and nobody would notice.
    for (const name of named) {
      const isKnown = Object.hasOwn(thresholds, name)
        ? typeof known[name] === 'number'
        : typeof flags[name] === 'boolean';
      if (!isKnown) throw new ServiceFailure(`the service does not judge the category ${name}`);
    }
    const applies = (name: string): boolean => {
      const threshold = Object.hasOwn(thresholds, name) ? thresholds[name] : undefined;
      return threshold === undefined ? flags[name] === true : Number(known[name]) >= threshold;
    };
    const found = [...new Set([...named, ...(judgesAll ? Object.keys(flags) : [])])].filter(applies);
    // A service may have more reasons than categories.
    return found.length === 0 && flagged && judgesAll && named.size === 0 ? ['flagged'] : found;
  };
}

function resultsOf(answer: unknown, inputs: number): readonly Readonly<Record<string, unknown>>[] {
  const results: unknown = isJsonObject(answer) ? answer['results'] : undefined;
  if (!Array.isArray(results) || results.length !== inputs || !results.every(isJsonObject)) throw unexpected();
  return results;
}

function unexpected(): ServiceFailure {
  return new ServiceFailure('the service’s answer is not that of a moderation');
}
