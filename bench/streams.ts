/**
 * How long a picture of a stream takes through the gateway: from the moment at which it leaves the provider, until its last byte has
 * come to the caller, beside the same without a gateway. `npx node bench/streams.ts [CALLS]`, on a machine with nothing else to do.
 */
import { once } from 'node:events';
import { request } from 'node:http';
import { startFakeOpenAi, upstreamKey } from '../test/fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../test/fixtures/gateway-config.ts';
import { startGateway } from '../test/fixtures/gateway.ts';
import { randomPng } from '../test/fixtures/pictures.ts';
import { summary } from '../test/fixtures/traffic.ts';

const calls = Number(process.argv[2] ?? 100);
const partials = 3;

const fake = await startFakeOpenAi();
const gateway = await startGateway({ config: gatewayConfig([openAiEntity(fake)]) });
const body = JSON.stringify({ model: 'gpt-image-2', prompt: 'a lighthouse', stream: true, partial_images: partials });

/** Milliseconds from the provider to the caller, for each picture of a stream. Each leaves when the one before has come. */
async function stream(baseUrl: string): Promise<readonly number[]> {
  const leftAtMs: number[] = [];
  const took: number[] = [];
  const taken = Array.from({ length: partials + 2 }, () => Promise.withResolvers<void>());
  taken[0]?.resolve();
  fake.next({
    stream: {
      async before(sent) {
        await taken[sent]?.promise;
        leftAtMs.push(performance.now());
      },
    },
  });
  const call = request(`${baseUrl}/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${upstreamKey}` },
  });
  call.end(body);
  const [answer] = (await once(call, 'response')) as [AsyncIterable<Buffer>];
  let last = '';
  for await (const chunk of answer) {
    last = (last + chunk.subarray(-2).toString('latin1')).slice(-2);
    if (last !== '\n\n') continue;
    took.push(performance.now() - (leftAtMs.at(-1) ?? Number.NaN));
    taken[took.length]?.resolve();
  }
  return took;
}

for (const byteLength of [100_000, 1_500_000]) {
  fake.draw(randomPng(byteLength));
  for (const [name, url] of [
    ['directly', fake.baseUrl],
    ['through the gateway', `${gateway.url}/v1`],
  ] as const) {
    const firsts: number[] = [];
    const others: number[] = [];
    // The code of a young process is slow.
    for (let index = -20; index < calls; index += 1) {
      const [first = Number.NaN, ...more] = await stream(url);
      if (index < 0) continue;
      firsts.push(first);
      others.push(...more);
    }
    for (const [which, values] of Object.entries({ first: firsts, others })) {
      const { p50Ms, p99Ms } = summary(values);
      console.log(`${String(byteLength)} bytes, ${name}, ${which}: median ${p50Ms} ms, p99 ${p99Ms} ms`);
    }
  }
}

await gateway.stop();
await fake.close();
