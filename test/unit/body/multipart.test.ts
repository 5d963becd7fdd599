import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LongText } from '../../../src/body/long-text.ts';
import { readMultipart, type FileInfo, type MultipartLimits, type PartSink } from '../../../src/body/multipart.ts';
import { GatewayError } from '../../../src/errors.ts';
import { fieldPart, filePart, writeForm, type WrittenPart } from './form-writer.ts';
import { bytewise, cut, cuts, sourceOf, stream } from './pieces.ts';

const roomy: MultipartLimits = {
  fields: 50,
  fieldBytes: 10_000,
  files: 20,
  fileBytes: 1_000_000,
  parts: 60,
  headerPairs: 20,
};
const contentType = 'multipart/form-data; boundary=XX';

interface RecordedSink {
  readonly info: FileInfo;
  readonly written: Uint8Array[];
  finished: boolean;
  discarded: number;
}

/** Sinks that keep their bytes in memory and take their time over it. */
function createSinks(failure?: Error): { readonly all: RecordedSink[]; openFile(info: FileInfo): PartSink<Buffer> } {
  const all: RecordedSink[] = [];
  return {
    all,
    openFile(info) {
      const recorded: RecordedSink = { info, written: [], finished: false, discarded: 0 };
      all.push(recorded);
      return {
        async write(chunk) {
          await Promise.resolve();
          if (failure !== undefined) throw failure;
          recorded.written.push(chunk);
        },
        finish() {
          recorded.finished = true;
          return Buffer.concat(recorded.written);
        },
        discard() {
          recorded.discarded += 1;
        },
      };
    },
  };
}

function toStream(pieces: readonly Uint8Array[] | AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return Symbol.asyncIterator in pieces ? pieces : stream(pieces);
}

/** The form in a form that is easy to compare. */
async function read(
  pieces: readonly Uint8Array[] | AsyncIterable<Uint8Array>,
  {
    type = contentType,
    limits = {},
    sinks = createSinks(),
  }: {
    type?: string;
    limits?: Partial<MultipartLimits>;
    sinks?: ReturnType<typeof createSinks>;
  } = {},
): Promise<unknown> {
  const parts = await readMultipart(sourceOf(toStream(pieces)), type, {
    limits: { ...roomy, ...limits },
    openFile: (info) => sinks.openFile(info),
  });
  const fields = parts.flatMap((part) => (part.kind === 'field' ? [[part.name, part.value]] : []));
  const files = parts.flatMap((part) => {
    if (part.kind !== 'file') return [];
    const { name, fileName, declaredType, content } = part;
    return { name, fileName, declaredType, content };
  });
  return { fields, files };
}

function readParts(...parts: readonly WrittenPart[]): Promise<unknown> {
  return read([writeForm('XX', parts)]);
}

/** Content that a parser could take for a boundary. */
const tricky = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r\n', '\r', '\n', '--', '-', 'XX', '--XX', '\r\n--X', '\r\n--', '\r\n--XY', '\0', 'a'),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((bits) => bits.join(''))
  .filter((text) => !`\r\n${text}\r\n`.includes('\r\n--XX'));

const names = fc.constantFrom(
  'image',
  'image[]',
  'mask',
  'prompt',
  '__proto__',
  'constructor',
  'toString',
  '0',
  'ä',
  'a b',
);

describe('readMultipart', () => {
  it('gives back what was written, in order, however it is cut', async () => {
    const part = fc.oneof(
      fc.record({ kind: fc.constant('field' as const), name: names, content: tricky }),
      fc.record({ kind: fc.constant('file' as const), name: names, content: tricky }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), cuts, tricky, async (parts, positions, epilogue) => {
        const written = parts.map(({ kind, name, content }) =>
          kind === 'field' ? fieldPart(name, content) : filePart(name, 'a.png', content),
        );
        const body = writeForm('XX', written, `\r\n${epilogue}`);
        const expected = {
          fields: parts.filter(({ kind }) => kind === 'field').map(({ name, content }) => [name, content]),
          files: parts
            .filter(({ kind }) => kind === 'file')
            .map(({ name, content }) => ({
              name,
              fileName: 'a.png',
              declaredType: 'image/png',
              content: Buffer.from(content),
            })),
        };
        expect(await read(cut(body, positions))).toEqual(expected);
        expect(await read([body])).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('reads a form that comes byte by byte', async () => {
    const body = writeForm('XX', [filePart('image', 'a.png', '\r\n--X\r\n--'), fieldPart('prompt', 'a fox')]);
    expect(await read(bytewise(body))).toMatchObject({
      fields: [['prompt', 'a fox']],
      files: [{ content: Buffer.from('\r\n--X\r\n--') }],
    });
  });

  it('reads a large file in one piece or many', async () => {
    const content = Buffer.from(Uint32Array.from({ length: 100_000 }, (_, index) => index * 2_654_435_761).buffer);
    const body = writeForm('XX', [fieldPart('a', '1'), filePart('image', 'a.png', content), fieldPart('b', '2')]);
    for (const pieces of [[body], cut(body, [70_000, 140_000, 150_000, 300_000])]) {
      const form = (await read(pieces)) as { fields: unknown; files: { content: Buffer }[] };
      expect(form.fields).toEqual([
        ['a', '1'],
        ['b', '2'],
      ]);
      expect(form.files[0]?.content.equals(content)).toBe(true);
    }
  });

  it('takes a preamble, an epilogue in a chunk of its own, and a form without parts', async () => {
    const body = writeForm('XX', [fieldPart('a', '1')]);
    expect(
      await read([Buffer.from('a preamble\r\n'), body, Buffer.from('\r\nan epilogue'), Buffer.from('--XX')]),
    ).toEqual({
      fields: [['a', '1']],
      files: [],
    });
    expect(await read([Buffer.from('--XX--')])).toEqual({ fields: [], files: [] });
  });

  it('takes headers in any order and spelling', async () => {
    const form = await readParts(
      {
        headers: ['content-type: text/plain; charset=utf-8', 'CONTENT-DISPOSITION: Form-Data; Name=prompt'],
        content: 'füchse',
      },
      {
        headers: ['Content-Type:  IMAGE/PNG', 'Content-Disposition:form-data;filename="a.png" ; name = "image"'],
        content: 'x',
      },
      {
        headers: ['X-Other: 1', 'Content-Disposition: form-data; name="n";', 'Content-Transfer-Encoding: 8bit'],
        content: '2',
      },
    );
    expect(form).toEqual({
      fields: [
        ['prompt', 'füchse'],
        ['n', '2'],
      ],
      files: [{ name: 'image', fileName: 'a.png', declaredType: 'image/png', content: Buffer.from('x') }],
    });
  });

  it.each([
    ['name="image[]"; filename="f\u00fcchse.png"', 'image[]', 'f\u00fcchse.png'],
    ['name="image%5B%5D"; filename="f%C3%BCchse.png"', 'image[]', 'f\u00fcchse.png'],
    ['name="image"; filename="a%22b%0D%0A.png"', 'image', 'a"b\r\n.png'],
    ['name="image"; filename="a\\"b\\\\c;d.png"', 'image', 'c;d.png'],
    ['name="image"; filename="x.png"; filename*=UTF-8\'en\'%e2%82%ac.png', 'image', '\u20ac.png'],
    ['name="image"; filename*=iso-8859-1\'\'f%fcchse.png; filename="x.png"', 'image', 'f\u00fcchse.png'],
    ['name="image"; filename="C:\\pictures\\a.png"', 'image', 'a.png'],
    ['name="image"; filename="../../etc/passwd"', 'image', 'passwd'],
    ['name="image"; filename="100%.png"', 'image', '100%.png'],
    ['name="image"; filename="%zz%ff.png"', 'image', '%zz%ff.png'],
    ['name=image; filename=a.png', 'image', 'a.png'],
  ])('reads the names in %s', async (parameters, name, fileName) => {
    const form = await readParts({ headers: [`Content-Disposition: form-data; ${parameters}`], content: 'x' });
    expect(form).toMatchObject({ files: [{ name, fileName }] });
  });

  it('leaves out what a browser sends for an empty file input, but not an empty file with a name', async () => {
    const form = await readParts(filePart('mask', '', ''), filePart('image', 'a.png', ''), filePart('image', '', 'x'));
    expect(form).toMatchObject({
      files: [
        { fileName: 'a.png', content: Buffer.of() },
        { fileName: '', content: Buffer.from('x') },
      ],
    });
  });

  it('decodes fields in the charset that they declare', async () => {
    const form = await readParts(
      fieldPart('a', Buffer.of(0xe4), 'text/plain; charset="ISO-8859-1"'),
      fieldPart('b', 'ä'),
    );
    expect(form).toMatchObject({
      fields: [
        ['a', 'ä'],
        ['b', 'ä'],
      ],
    });
  });

  it('keeps long fields as bytes when told to', async () => {
    const long = `data:image/png;base64,${'QUJD'.repeat(1000)}`;
    const body = writeForm('XX', [fieldPart('image', long), fieldPart('prompt', 'x'.repeat(100))]);
    const { openFile } = createSinks();
    const parts = await readMultipart(sourceOf(stream([body])), contentType, {
      limits: roomy,
      openFile,
      longTextBytes: 100,
    });
    const [image, prompt] = parts.map((part) => (part.kind === 'field' ? part.value : undefined));
    expect(image).toBeInstanceOf(LongText);
    expect((image as LongText).toText()).toBe(long);
    expect(prompt).toBe('x'.repeat(100));
  });

  it('hands long fields on as they come, to whoever wants them by their name and beginning', async () => {
    const long = `data:image/png;base64,${'QUJD'.repeat(1000)}`;
    const body = writeForm('XX', [
      fieldPart('image', long),
      filePart('image', 'a.png', 'bytes'),
      fieldPart('prompt', 'y'.repeat(500)),
      fieldPart('image', 'short'),
      {
        headers: ['Content-Disposition: form-data; name="mask"', 'Content-Type: text/plain; charset=latin1'],
        content: long,
      },
    ]);
    const asked: unknown[] = [];
    const { openFile, all } = createSinks();
    for (const pieces of [[body], bytewise(body)]) {
      const parts = await readMultipart(sourceOf(stream(pieces)), contentType, {
        limits: roomy,
        openFile,
        longTextBytes: 100,
        openLongField(name, head) {
          asked.push([name, Buffer.from(head.subarray(0, 5)).toString()]);
          return name === 'image' ? openFile({ name, fileName: 'field', mediaType: undefined }) : undefined;
        },
      }).catch((error: unknown) => error);
      // A long text that is not in UTF-8 would have to be decoded.
      expect(parts).toMatchObject({ code: 'invalid_multipart', param: 'mask' });
    }
    const once = [
      ['image', 'data:'],
      ['prompt', 'yyyyy'],
    ];
    expect(asked).toEqual([...once, ...once]);
    expect(all.map(({ written }) => Buffer.concat(written).toString())).toEqual([long, 'bytes', long, 'bytes']);
    expect(all.map(({ discarded }) => discarded)).toEqual([1, 1, 1, 1]);
  });

  it('keeps fields and files in the order of the form', async () => {
    const { openFile } = createSinks();
    const body = writeForm('XX', [
      filePart('image', 'a.png', 'one'),
      fieldPart('image', 'two'),
      filePart('image', 'b.png', 'three'),
      fieldPart('image', 'four'),
    ]);
    const parts = await readMultipart(sourceOf(stream([body])), contentType, { limits: roomy, openFile });
    expect(parts.map((part) => (part.kind === 'file' ? part.content.toString() : part.value))).toEqual([
      'one',
      'two',
      'three',
      'four',
    ]);
  });

  it('reads no further while a sink is busy', async () => {
    let brought = 0;
    const body = writeForm('XX', [filePart('image', 'a.png', Buffer.alloc(1_000_000, 1))]);
    async function* source(): AsyncIterable<Uint8Array> {
      for (let at = 0; at < body.length; at += 10_000) {
        brought += 1;
        yield body.subarray(at, at + 10_000);
      }
    }
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const reading = readMultipart(sourceOf(source()), contentType, {
      limits: { ...roomy, fileBytes: 2_000_000 },
      openFile: () => ({
        write() {
          reached.resolve();
          return gate.promise;
        },
        finish: () => undefined,
        discard() {},
      }),
    });
    await reached.promise;
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(brought).toBe(1);
    gate.resolve();
    await reading;
    expect(brought).toBe(101);
  });
});

describe('bad forms', () => {
  async function failure(pieces: readonly Uint8Array[], how: Parameters<typeof read>[1] = {}): Promise<GatewayError> {
    const error: unknown = await read(pieces, how).then(
      (form) => new Error(`accepted: ${JSON.stringify(form)}`),
      (thrown: unknown) => thrown,
    );
    if (error instanceof GatewayError) return error;
    throw error;
  }

  const whole = writeForm(
    'XX',
    [
      fieldPart('prompt', 'a fox'),
      filePart('image', 'a.png', 'bytes'),
      filePart('mask', '', ''),
      { headers: ['Content-Type: text/plain', 'Content-Disposition: form-data; name="n"'], content: '' },
    ],
    '',
  );

  it('are refused when cut at whichever byte, and every sink is told', async () => {
    const end = whole.length;
    for (let length = 0; length < end; length += 1) {
      for (const pieces of [[whole.subarray(0, length)], bytewise(whole.subarray(0, length))]) {
        const sinks = createSinks();
        expect(await failure(pieces, { sinks })).toMatchObject({ code: 'invalid_multipart', status: 400 });
        expect(sinks.all.every(({ discarded }) => discarded === 1)).toBe(true);
      }
    }
    await expect(read([whole])).resolves.toBeDefined();
  });

  it('are refused, or read, when a byte is changed at whichever place, but never hang', async () => {
    for (const byte of Buffer.from('\r\n-X";: \0')) {
      for (let at = 0; at < whole.length; at += 1) {
        const body = Buffer.from(whole);
        body[at] = byte;
        const outcome: unknown = await read(cut(body, [at, at + 1])).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'invalid_multipart' });
      }
    }
  });

  it('are refused, or read, when any bytes come, but never hang', async () => {
    const anything = fc.array(
      fc.constantFrom(
        '--XX',
        '--XX--',
        '\r\n',
        '\r\n\r\n',
        'Content-Disposition: form-data; name="a"',
        '; filename="b"',
        ':',
        'x',
        '-',
        '\r\n--XX\r\n',
        '\0',
      ),
      { maxLength: 14 },
    );
    await fc.assert(
      fc.asyncProperty(anything, cuts, async (bits, positions) => {
        const outcome: unknown = await read(cut(Buffer.from(bits.join('')), positions)).catch(
          (error: unknown) => error,
        );
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'invalid_multipart' });
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['application/json'],
    ['multipart/form-data'],
    ['multipart/form-data; boundary='],
    ['multipart/form-data; boundary=""'],
    ['multipart/form-data; boundary="XX'],
    ['multipart/form-data; boundary=XX; boundary=YY'],
    [`multipart/form-data; boundary=${'X'.repeat(71)}`],
    [`multipart/form-data;${' '.repeat(50_000)}"`],
  ])('are refused for the Content-Type %s', async (type) => {
    expect(await failure([whole], { type })).toMatchObject({ code: 'invalid_multipart' });
  });

  it('may have a quoted boundary of 70 characters', async () => {
    const boundary = `a b:${'X'.repeat(66)}`;
    const body = writeForm(boundary, [fieldPart('a', '1')]);
    expect(await read([body], { type: `Multipart/Form-Data; charset=utf-8; Boundary="${boundary}"` })).toMatchObject({
      fields: [['a', '1']],
    });
  });

  it.each<[string, readonly string[]]>([
    ['no headers', []],
    ['no disposition', ['Content-Type: text/plain']],
    ['another disposition', ['Content-Disposition: attachment; name="a"']],
    ['no name', ['Content-Disposition: form-data']],
    ['an empty name', ['Content-Disposition: form-data; name=""']],
    ['an empty name and a file', ['Content-Disposition: form-data; name=""; filename="a.png"']],
    ['a name twice', ['Content-Disposition: form-data; name="a"; name="b"']],
    ['two dispositions', ['Content-Disposition: form-data; name="a"', 'Content-Disposition: form-data; name="b"']],
    ['a name that does not end', ['Content-Disposition: form-data; name="a']],
    ['a header without a colon', ['Content-Disposition form-data; name="a"']],
    ['a line end in its name', ['Content-Disposition: form-data; name="a\nb"']],
    ['an encoding', ['Content-Disposition: form-data; name="a"', 'Content-Transfer-Encoding: base64']],
    ['an encoded name in no encoding', ["Content-Disposition: form-data; name=a; filename*=no'such'%41"]],
    [
      'too many headers',
      ['Content-Disposition: form-data; name="a"', ...Array.from({ length: 20 }, (_, index) => `X-${index}: 1`)],
    ],
    ['endless headers', [`X: ${'x'.repeat(200_000)}`, 'Content-Disposition: form-data; name="a"']],
  ])('are refused for a part with %s', async (_, headers) => {
    expect(await failure([writeForm('XX', [{ headers, content: 'x' }])])).toMatchObject({ code: 'invalid_multipart' });
  });

  it('name the field that is not text', async () => {
    const binary = Buffer.of(0x89, 0x50, 0xff);
    for (const part of [fieldPart('image', binary), fieldPart('image', 'x', 'text/plain; charset=nonsense')]) {
      expect(await failure([writeForm('XX', [part])])).toMatchObject({ code: 'invalid_multipart', param: 'image' });
    }
  });

  it.each<[string, Partial<MultipartLimits>, string]>([
    ['fields', { fields: 1 }, 'b'],
    ['files', { files: 1 }, 'd'],
    ['parts', { parts: 3 }, 'd'],
    ['bytes in a field', { fieldBytes: 4 }, 'b'],
    ['bytes in a file', { fileBytes: 4 }, 'd'],
  ])('are refused for too many %s', async (_, limits, param) => {
    const body = writeForm('XX', [
      fieldPart('a', '1234'),
      fieldPart('b', '12345'),
      filePart('c', 'c', '1234'),
      filePart('d', 'd', '12345'),
    ]);
    const sinks = createSinks();
    const error = await failure([body], { limits, sinks });
    expect(error).toMatchObject({ code: 'payload_too_large', status: 413, param });
    expect(sinks.all.every(({ discarded }) => discarded === 1)).toBe(true);
  });

  it('are refused early when they are nothing but parts', async () => {
    const body = writeForm(
      'XX',
      Array.from({ length: 5000 }, () => fieldPart('a', '')),
    );
    expect(await failure([body])).toMatchObject({ code: 'payload_too_large' });
  });

  it('pass on the error of the source, and let go of every file', async () => {
    const aborted = new Error('the client went away');
    async function* source(): AsyncIterable<Uint8Array> {
      yield whole.subarray(0, whole.indexOf('bytes') + 3);
      throw aborted;
    }
    const sinks = createSinks();
    await expect(read(source(), { sinks })).rejects.toBe(aborted);
    expect(sinks.all).toMatchObject([{ discarded: 1, finished: false }]);
  });

  it('pass on the error of a sink, and read no further', async () => {
    const full = new GatewayError('overloaded', 'no room');
    const sinks = createSinks(full);
    let left = false;
    async function* source(): AsyncIterable<Uint8Array> {
      try {
        yield whole;
        yield whole;
      } finally {
        left = true;
      }
    }
    await expect(read(source(), { sinks })).rejects.toBe(full);
    expect(left).toBe(true);
    expect(sinks.all).toMatchObject([{ discarded: 1 }]);
  });
});
