import { dirname, resolve } from 'node:path';
import type { ConfigDocument } from './document.ts';
import { decodeText, digestFiles, readFileBounded, type FileRead } from './files.ts';
import { filesNamedIn, type ExtensionFile } from './named-files.ts';
import { finishProblems, type PlacedProblem, type PointedProblem, type Problem } from './problems.ts';
import { createRedactor, secretTextsIn } from './redact.ts';
import { readDocument } from './read-document.ts';
import { expandReferences, type Expansion } from './references.ts';

/** A configuration is never this large; a mistyped path may well be. */
const mostConfigBytes = 8 * 1024 * 1024;

export interface ReadOptions {
  /** Of the YAML file; problems name it as it is spelt here. */
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A file that was read, parsed and expanded, together with every file that it names, but not validated. */
export interface ReadConfig {
  /** As it was given. */
  readonly path: string;
  /** Absolute path of the folder at which the file's relative paths begin. */
  readonly folder: string;
  /** Over the path and the bytes of every file in `files`. */
  readonly digest: string;
  /** Everything to watch, by absolute path: the YAML, and the secret files, certificates and extensions it names. */
  readonly files: readonly string[];
  /** The modules to import before the file can be validated, in its order. */
  readonly extensions: readonly ExtensionFile[];
  /** The YAML file's own text; empty if it could not be read. */
  readonly text: string;
  readonly document: ConfigDocument;
  readonly expansion: Expansion;
  /** What was read, by absolute path. */
  readonly contents: ReadonlyMap<string, FileRead>;
  /** What is wrong already. */
  readonly problems: readonly PlacedProblem[];
}

/** Reads the file and every file that it names. Never throws: what is wrong with them is among the problems. */
export async function readConfig({ path, env }: ReadOptions): Promise<ReadConfig> {
  const absolutePath = resolve(path);
  const folder = dirname(absolutePath);
  const file = await readFileBounded(absolutePath, mostConfigBytes);
  const text = file.kind === 'read' ? decodeText(file.bytes) : '';
  const document = await readDocument(text ?? '');
  const expansion = await expandReferences(document.value, { env, folder });
  const named = await filesNamedIn(expansion.value, folder);
  const contents = new Map<string, FileRead>([[absolutePath, file], ...expansion.files, ...named.contents]);
  const unreadable = file.kind === 'failed' ? file.reason : text === undefined ? 'is not text in UTF-8' : undefined;
  return {
    path,
    folder,
    digest: digestFiles(contents),
    files: [...contents.keys()],
    extensions: named.extensions,
    text: text ?? '',
    document,
    expansion,
    contents,
    problems:
      unreadable === undefined
        ? [
            ...document.problems.map((problem) => ({ ...problem, pointer: '' })),
            ...expansion.problems.map((problem) => place(problem, document)),
          ]
        : [{ line: 1, column: 1, pointer: '', message: `this file ${unreadable}` }],
  };
}

/**
 * Everything that is wrong, as operators may see it: what reading has found and what was found since.
 * @param pointed problems with what the file says, by JSON pointer
 */
export function problemsOf(read: ReadConfig, pointed: readonly PointedProblem[]): readonly Problem[] {
  const { path, text, document, expansion } = read;
  const unset = new Map(expansion.unset.map(({ pointer, name }) => [pointer, name]));
  const explained = pointed.map((problem) => {
    const name = unset.get(problem.pointer);
    return name === undefined
      ? problem
      : { ...problem, message: `${problem.message}; the variable ${name} is not set` };
  });
  const secrets = [...expansion.secretTexts, ...secretTextsIn(document.value), ...secretTextsIn(expansion.value)];
  const placed = [...read.problems, ...explained.map((problem) => place(problem, document))];
  return finishProblems(path, placed, createRedactor(text, secrets));
}

function place(problem: PointedProblem, document: ConfigDocument): PlacedProblem {
  return { ...problem, ...document.locate(problem.pointer, problem.kind === 'key' ? 'key' : 'value') };
}
