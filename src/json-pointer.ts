/** JSON pointers (RFC 6901): `/routes/0/path`. The empty text is the whole document. */

/** The pointer of something below what `base` points to. */
export function pointerTo(base: string, ...segments: readonly (string | number)[]): string {
  return segments.reduce<string>(
    (pointer, segment) => `${pointer}/${String(segment).replaceAll('~', '~0').replaceAll('/', '~1')}`,
    base,
  );
}

export function segmentsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The pointer as code would spell it: `routes[0].path`. Empty for the whole document. */
export function spellPointer(pointer: string): string {
  return spellSegments(segmentsOf(pointer));
}

/** The shortest spelling that a person understands: the last key, and the position in a list that follows it. */
export function nameOf(pointer: string): string {
  const segments = segmentsOf(pointer);
  const key = segments.findLastIndex((segment) => !isIndex(segment));
  return spellSegments(segments.slice(Math.max(key, 0)));
}

const isIndex = (segment: string): boolean => /^[0-9]+$/.test(segment);

function spellSegments(segments: readonly string[]): string {
  return segments.reduce((name, segment) => {
    if (name === '') return segment;
    return isIndex(segment) ? `${name}[${segment}]` : `${name}.${segment}`;
  }, '');
}

/** What a pointer points to within plain data; undefined when there is nothing. */
export function valueAt(root: unknown, pointer: string): unknown {
  return segmentsOf(pointer).reduce<unknown>(
    (node, segment) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, segment)
        ? Reflect.get(node, segment)
        : undefined,
    root,
  );
}
