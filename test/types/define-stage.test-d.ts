/**
 * What the compiler holds a stage to. Nothing here runs: each `@ts-expect-error` is a mistake that must not compile, and
 * the stages without one must.
 */
import { jsonResponse } from '../../src/pipeline/response.ts';
import { defineComposite, defineStage, Halt, type AnyStage } from '../../src/pipeline/stage.ts';
import { makeCall } from '../fixtures/exchange.ts';

const call = makeCall();
const response = jsonResponse(200, {});
const common = { name: 'example', schema: {} } as const;

/** Every kind of stage fits into the registry. */
export const stages: readonly AnyStage[] = [
  defineStage({ ...common, reads: [], writes: [], create: () => () => {} }),
  defineStage({ ...common, reads: [], writes: [], create: () => () => new Halt(response) }),
  defineStage({ ...common, reads: [], writes: ['response'], create: () => async () => ({ response }) }),
  defineStage({ ...common, reads: ['call'], writes: ['call'], create: () => (exchange) => ({ call: exchange.call }) }),
  defineStage({ ...common, reads: [], writes: ['call', 'response'], create: () => () => ({ call, response }) }),
  defineStage({ ...common, reads: [], writes: ['response'], create: () => () => new Halt(response) }),
  defineStage({
    ...common,
    reads: [],
    writes: [],
    create: (config: { readonly limit: number }) => () => void config.limit.toFixed(),
  }),
  defineStage({
    ...common,
    reads: ['call'],
    writes: [],
    optional: ['target', 'caller'],
    needs: (config: { readonly perEntity: boolean }) => (config.perEntity ? ['target'] : []),
    create: () => (exchange) => void [exchange.call.prompt, exchange.target?.model, exchange.caller?.consumer],
  }),
  defineComposite({
    ...common,
    reads: ['target'],
    writes: [],
    create: (_config, _env, nested) => (exchange) => nested.run(exchange, { target: exchange.target }),
  }),
];

// A stage that reads a slot without declaring it.
defineStage({
  ...common,
  reads: ['call'],
  writes: [],
  // @ts-expect-error -- `target` is not among its `reads`.
  create: () => (exchange) => void exchange.target,
});

// A stage that reads one without declaring any.
defineStage({
  ...common,
  reads: [],
  writes: [],
  // @ts-expect-error -- it reads nothing.
  create: () => (exchange) => void exchange.caller,
});

// A stage that takes for granted what it only may look at.
defineStage({
  ...common,
  reads: [],
  writes: [],
  optional: ['target'],
  // @ts-expect-error -- it may not be there.
  create: () => (exchange) => void exchange.target.model,
});

// A config can only need what the stage looks at.
defineStage({
  ...common,
  reads: [],
  writes: [],
  optional: ['target'],
  // @ts-expect-error -- `call` is not among `optional`.
  needs: () => ['call'],
  create: () => () => {},
});

// A slot is not readable because it is written.
defineStage({
  ...common,
  reads: [],
  writes: ['call'],
  // @ts-expect-error -- `call` is not there yet.
  create: () => (exchange) => ({ call: exchange.call }),
});

// A stage that fills a slot that it has not declared.
defineStage({
  ...common,
  reads: [],
  writes: [],
  // @ts-expect-error -- it declares none.
  create: () => () => ({ call }),
});

// A stage that forgets one of the slots that it declares.
defineStage({
  ...common,
  reads: [],
  writes: ['call', 'response'],
  // @ts-expect-error -- `response` is missing.
  create: () => () => ({ call }),
});

// A stage that forgets all of them.
defineStage({
  ...common,
  reads: [],
  writes: ['response'],
  // @ts-expect-error -- nothing is filled.
  create: () => () => {},
});

// A stage that fills a slot only sometimes.
defineStage({
  ...common,
  reads: ['call'],
  writes: ['response'],
  // @ts-expect-error -- without a prompt nothing is filled.
  create: () => (exchange) => (exchange.call.prompt === undefined ? undefined : { response }),
});

// A stage that fills a slot with something else.
defineStage({
  ...common,
  reads: [],
  writes: ['response'],
  // @ts-expect-error -- a call is no response.
  create: () => () => ({ response: call }),
});

// A stage that changes what it was given.
defineStage({
  ...common,
  reads: ['call'],
  writes: [],
  create: () => (exchange) => {
    // @ts-expect-error -- slots change by what a stage returns.
    exchange.call = call;
    // @ts-expect-error -- and so does what is in them.
    exchange.call.prompt = 'another';
  },
});

// A slot that does not exist.
defineStage({
  ...common,
  // @ts-expect-error -- there is no such slot.
  reads: ['prompt'],
  writes: [],
  create: () => () => {},
});

// A composite is held to the same.
defineComposite({
  ...common,
  reads: [],
  writes: [],
  // @ts-expect-error -- `target` is not among its `reads`.
  create: (_config, _env, nested) => (exchange) => nested.run(exchange, { target: exchange.target }),
});
