/** A small writer of forms, independent of the one under test. */
export interface WrittenPart {
  /** Whole header lines, without line ends. */
  readonly headers: readonly string[];
  readonly content: Uint8Array | string;
}

export function fieldPart(name: string, content: Uint8Array | string, type?: string): WrittenPart {
  const headers = [`Content-Disposition: form-data; name="${name}"`];
  return { headers: type === undefined ? headers : [...headers, `Content-Type: ${type}`], content };
}

export function filePart(name: string, fileName: string, content: Uint8Array | string): WrittenPart {
  const disposition = `Content-Disposition: form-data; name="${name}"; filename="${fileName}"`;
  return { headers: [disposition, 'Content-Type: image/png'], content };
}

export function writeForm(boundary: string, parts: readonly WrittenPart[], epilogue = '\r\n'): Buffer {
  const pieces = parts.flatMap(({ headers, content }) => [
    Buffer.from(`--${boundary}\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n`),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--${epilogue}`)]);
}
