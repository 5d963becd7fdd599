import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A folder with a configuration in it, gone when the test is over. */
export interface ConfigFolder extends AsyncDisposable {
  /** Path of the configuration. */
  readonly config: string;
  /** Writes a file of the folder, the configuration unless another is named. */
  readonly write: (content: string | object, name?: string) => Promise<void>;
}

/** @param content the configuration's text, or a document that is written as JSON, which is YAML as well */
export async function configFolder(
  content: string | object,
  files: Readonly<Record<string, string>> = {},
): Promise<ConfigFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'pinhole-cli-'));
  const write: ConfigFolder['write'] = async (content, name = 'gateway.yaml') => {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  };
  for (const [name, text] of Object.entries({ 'gateway.yaml': content, ...files })) await write(text, name);
  return {
    config: join(folder, 'gateway.yaml'),
    write,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
