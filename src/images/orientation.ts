/** The one thing in a picture's metadata that its look depends on: how it is to be turned. Source: EXIF 3.0 §4.6. */

const orientationTag = 0x0112;
const shortType = 3;
const entryBytes = 12;
const prefix = Buffer.from('Exif\0\0');

/** The orientation that EXIF data asks for, 2 to 8; undefined for none, and for the one that changes nothing. */
export function exifOrientation(exif: Buffer): number | undefined {
  const tiff = exif.subarray(0, prefix.byteLength).equals(prefix) ? exif.subarray(prefix.byteLength) : exif;
  const order = tiff.toString('latin1', 0, 4);
  if (order !== 'II*\0' && order !== 'MM\0*') return undefined;
  const at = (offset: number, byteLength: 2 | 4): number => {
    if (offset + byteLength > tiff.byteLength) return 0;
    return order === 'II*\0' ? tiff.readUIntLE(offset, byteLength) : tiff.readUIntBE(offset, byteLength);
  };
  const directory = at(4, 4);
  const entries = at(directory, 2);
  for (let index = 0; index < entries; index += 1) {
    const entry = directory + 2 + index * entryBytes;
    if (entry + entryBytes > tiff.byteLength) return undefined;
    if (at(entry, 2) !== orientationTag || at(entry + 2, 2) !== shortType) continue;
    const value = at(entry + 8, 2);
    return value >= 2 && value <= 8 ? value : undefined;
  }
  return undefined;
}

/** EXIF data that says the orientation and nothing else. */
export function orientationExif(orientation: number): Buffer {
  // Header, offset of the only directory; one entry: tag, type, count, value; no further directory.
  const tiff = Buffer.from('4d4d002a00000008000101120003000000010000000000000000', 'hex');
  tiff.writeUInt16BE(orientation, 18);
  return tiff;
}
