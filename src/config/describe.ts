import { hash, randomBytes } from 'node:crypto';
import { pointerTo } from '../json-pointer.ts';
import { isJsonObject } from '../json.ts';
import { Secret } from '../secret.ts';

/** A configuration as it may be shown and compared: plain data in which marks stand for secrets. */
export type Description = DescriptionFolder | readonly Description[] | SecretMark | Scalar;

type Scalar = string | number | boolean | null | undefined;

export type DescriptionFolder = { readonly [key: string]: Description };

/** Stands for a secret: equal for equal secrets, and nothing else can be learnt from it. */
export interface SecretMark {
  /** A keyed digest. The key is made at random and never leaves the process, so not even a short secret can be guessed. */
  readonly secret: string;
  /** What may be shown. */
  readonly shown: string;
}

const markingKey = randomBytes(32).toString('hex');

const redacted = '[redacted]';

/** Names of members that hold secrets wherever they stand. `per_token` is a price. */
const secretName =
  /^(?!per[_-])(?:.*[_-])?(?:token|keys?|key_sha256|authorization|cookie|password|passphrase|secrets?|credentials?)$/i;

/** The password in an address: up to the last `@`, since one within the password need not be escaped everywhere. */
const addressPassword = /(:\/\/[^\s:/?#@]*:)(.+)(?=@)/;

const secretParameter = /([?&](?:[\w.-]*[_.-])?(?:token|key|signature|sig|password|secret|credential)=)([^&#\s]+)/gi;

/**
 * Describes a configuration: a copy with a mark for each secret. Secrets are the values at the pointers, everything below a
 * member with a telling name (`token`, `key`, `authorization`, `client_secret` …), and passwords within addresses.
 * @param config plain data, as parsed and expanded
 * @param secretPointers JSON pointers of values known to be secret, such as those that came from a reference
 */
export function describeConfig(config: unknown, secretPointers: Iterable<string>): Description {
  const pointers = new Set(secretPointers);

  function describe(value: unknown, pointer: string, isSecret: boolean): Description {
    const hidden = isSecret || pointers.has(pointer);
    if (Array.isArray(value)) return value.map((item, index) => describe(item, pointerTo(pointer, index), hidden));
    if (isJsonObject(value) && !(value instanceof Secret)) {
      const members = Object.entries(value).map(([key, item]): [string, Description] => [
        key,
        describe(item, pointerTo(pointer, key), hidden || secretName.test(key)),
      ]);
      // Not by assignment: a key may be called `__proto__`.
      return Object.fromEntries(members);
    }
    return describeScalar(value, hidden);
  }

  return describe(config, '', false);
}

export function isSecretMark(value: Description): value is SecretMark {
  // A member of that name in the configuration is a secret itself, so it is described by a mark and never by a text.
  return isFolder(value) && typeof value['secret'] === 'string' && value['secret'] !== '';
}

export function isFolder(value: Description): value is DescriptionFolder {
  return isJsonObject(value);
}

function describeScalar(value: unknown, hidden: boolean): Description {
  if (value === '' || value === null || value === undefined) return value;
  if (value instanceof Secret) return mark(value.reveal(), redacted);
  if (typeof value === 'string') return hidden ? mark(value, redacted) : describeText(value);
  if (typeof value === 'number' || typeof value === 'boolean') return hidden ? mark(String(value), redacted) : value;
  // Not plain data, so it has no business here and is not shown.
  return mark(typeof value, redacted);
}

function describeText(text: string): Description {
  const shown = text.replace(addressPassword, `$1${redacted}`).replace(secretParameter, `$1${redacted}`);
  return shown === text ? text : mark(text, shown);
}

function mark(secret: string, shown: string): SecretMark {
  return { secret: hash('sha256', markingKey + secret).slice(0, 16), shown };
}
