/**
 * Freezes a value and everything in it, so that a change to it throws. Bytes cannot be frozen, and what holds state of
 * its own (maps, sets, functions) is left alone.
 */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  if (ArrayBuffer.isView(value) || value instanceof Map || value instanceof Set) return value;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze<unknown>(member);
  return value;
}
