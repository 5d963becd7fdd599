/** A PNG encoder: RGB or RGBA of 8 bits, not interlaced. The format: https://www.w3.org/TR/png-3/ */
import { constants, crc32, deflateSync } from 'node:zlib';
import { isOpaque } from './raster.ts';
import type { Raster } from './raster.ts';

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const software = 'Pinhole sandbox';

const rgb = 2;
const rgba = 6;

const sub = 1;
const up = 2;
const paeth = 4;

/**
 * Filtered rows hold runs and small numbers, hardly ever longer repetitions. Not searching for any costs a few per cent
 * of size and saves two thirds of the time. One large chunk, because the output is in one piece anyway.
 */
const compression = { level: 1, memLevel: 9, strategy: constants.Z_RLE, chunkSize: 1 << 20 };

/** The picture as a PNG file; without an alpha channel when nothing is transparent. */
export function encodePng(raster: Raster): Uint8Array<ArrayBuffer> {
  const opaque = isOpaque(raster);
  const channels = opaque ? 3 : 4;
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, raster.width);
  view.setUint32(4, raster.height);
  header.set([8, opaque ? rgb : rgba, 0, 0, 0], 8);
  return assemble([
    chunk('IHDR', header),
    chunk('tEXt', ascii(`Software\0${software}`)),
    chunk('IDAT', deflateSync(filterRows(raster, channels), compression)),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

/** Each row as the filter's number, then its bytes as differences from their neighbours. */
function filterRows(raster: Raster, channels: number): Uint8Array {
  const rowBytes = raster.width * channels;
  const filtered = new Uint8Array((rowBytes + 1) * raster.height);
  // Both rows begin with one pixel of zeros, so that the neighbour on the left of the first pixel needs no test.
  let row = new Uint8Array(channels + rowBytes);
  let above = new Uint8Array(channels + rowBytes);
  for (let y = 0; y < raster.height; y++) {
    copyRow(raster, y, channels, row);
    const filter = chooseFilter(row, above, channels);
    const target = filtered.subarray(y * (rowBytes + 1), (y + 1) * (rowBytes + 1));
    target[0] = filter;
    applyFilter(filter, row, above, channels, target);
    [row, above] = [above, row];
  }
  return filtered;
}

function copyRow({ width, data }: Raster, y: number, channels: number, row: Uint8Array): void {
  const start = y * width * 4;
  if (channels === 4) {
    row.set(data.subarray(start, start + width * 4), channels);
    return;
  }
  for (let from = start, to = channels; to < row.length; from += 4, to += 3) {
    row[to] = data[from] ?? 0;
    row[to + 1] = data[from + 1] ?? 0;
    row[to + 2] = data[from + 2] ?? 0;
  }
}

/** The filter that leaves the smallest differences, judged by one byte in thirteen: good enough, and nearly free. */
function chooseFilter(row: Uint8Array, above: Uint8Array, channels: number): number {
  let subSum = 0;
  let upSum = 0;
  let paethSum = 0;
  for (let at = channels; at < row.length; at += 13) {
    const value = row[at] ?? 0;
    const left = row[at - channels] ?? 0;
    const upper = above[at] ?? 0;
    subSum += Math.abs(((value - left) << 24) >> 24);
    upSum += Math.abs(((value - upper) << 24) >> 24);
    paethSum += Math.abs(((value - predict(left, upper, above[at - channels] ?? 0)) << 24) >> 24);
  }
  if (paethSum < upSum && paethSum < subSum) return paeth;
  return upSum < subSum ? up : sub;
}

function applyFilter(filter: number, row: Uint8Array, above: Uint8Array, channels: number, target: Uint8Array): void {
  const shift = channels - 1;
  if (filter === sub) {
    for (let at = channels; at < row.length; at++) target[at - shift] = (row[at] ?? 0) - (row[at - channels] ?? 0);
  } else if (filter === up) {
    for (let at = channels; at < row.length; at++) target[at - shift] = (row[at] ?? 0) - (above[at] ?? 0);
  } else {
    for (let at = channels; at < row.length; at++) {
      const expected = predict(row[at - channels] ?? 0, above[at] ?? 0, above[at - channels] ?? 0);
      target[at - shift] = (row[at] ?? 0) - expected;
    }
  }
}

/** Paeth's predictor: the neighbour nearest to what a plane through all three would give. */
function predict(left: number, upper: number, upperLeft: number): number {
  const toLeft = Math.abs(upper - upperLeft);
  const toUpper = Math.abs(left - upperLeft);
  const toUpperLeft = Math.abs(left + upper - 2 * upperLeft);
  if (toLeft <= toUpper && toLeft <= toUpperLeft) return left;
  return toUpper <= toUpperLeft ? upper : upperLeft;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.byteLength);
  bytes.set(ascii(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.byteLength, crc32(bytes.subarray(4, 8 + data.byteLength)));
  return bytes;
}

/** In one array of its own, so that it can be handed to another thread without a copy. */
function assemble(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = chunks.reduce((sum, part) => sum + part.byteLength, signature.byteLength);
  const file = new Uint8Array(length);
  file.set(signature);
  let at = signature.byteLength;
  for (const part of chunks) {
    file.set(part, at);
    at += part.byteLength;
  }
  return file;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
