import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createGatherer } from '../../../src/body/gather.ts';
import { bytewise } from './pieces.ts';

describe('createGatherer', () => {
  it('gives back what was added, whatever the sizes', () => {
    const sizes = fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ minLength: 1500, maxLength: 5000 }));
    fc.assert(
      fc.property(fc.array(sizes, { maxLength: 20 }), (pieces) => {
        const gathered = createGatherer();
        for (const piece of pieces) gathered.add(piece);
        const expected = Buffer.concat(pieces);
        expect(gathered.byteLength).toBe(expected.byteLength);
        expect(Buffer.concat(gathered.slices()).equals(expected)).toBe(true);
        expect(Buffer.from(gathered.joined()).equals(expected)).toBe(true);
      }),
    );
  });

  it('keeps single bytes in few slices', () => {
    const gathered = createGatherer();
    for (const byte of bytewise(Buffer.alloc(100_000, 7))) gathered.add(byte);
    expect(gathered.slices().length).toBeLessThan(20);
  });

  it('keeps large pieces without copying them', () => {
    const gathered = createGatherer();
    const large = Buffer.alloc(10_000, 1);
    gathered.add(Buffer.of(9));
    gathered.add(large);
    expect(gathered.slices()[1]).toBe(large);
  });

  it('leaves slices that were taken as they were when more is added', () => {
    const gathered = createGatherer();
    gathered.add(Buffer.of(1, 2));
    const before = gathered.slices();
    gathered.add(Buffer.of(3));
    expect(Buffer.concat(before)).toEqual(Buffer.of(1, 2));
    expect(Buffer.from(gathered.joined())).toEqual(Buffer.of(1, 2, 3));
  });
});
