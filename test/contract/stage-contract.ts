/** What every stage owes the engine. A stage's own test calls this suite with an exchange of its own. */
import { describe, expect, it } from 'vitest';
import type { ExchangeView, SlotName, Slots } from '../../src/pipeline/exchange.ts';
import { Halt, type StageDefinition, type StageEnv } from '../../src/pipeline/stage.ts';
import { deepFreeze } from './deep-freeze.ts';

export interface StageContract<Reads extends SlotName, Writes extends SlotName, Config, Optional extends SlotName> {
  readonly definition: StageDefinition<Reads, Writes, Config, Optional>;
  readonly config: Config;
  readonly env: StageEnv;
  /** A new exchange with which the stage succeeds, its slots filled; its waits end when the signal is aborted. */
  readonly exchange: (signal: AbortSignal) => ExchangeView<Reads, Optional>;
}

const slotNames = {
  caller: true,
  call: true,
  candidates: true,
  target: true,
  upstream: true,
  reply: true,
  result: true,
  response: true,
} as const satisfies Record<keyof Slots, true>;

/** Registers the suite. */
export function stageContract<
  Reads extends SlotName,
  Writes extends SlotName,
  Config,
  Optional extends SlotName = never,
>(contract: StageContract<Reads, Writes, Config, Optional>): void {
  const { definition, config, env } = contract;
  const handle = definition.create(deepFreeze(config), env);
  const live = new AbortController().signal;

  describe(`the stage ${definition.name}`, () => {
    it('reads no slot that it has not declared', async () => {
      const declared = new Set<PropertyKey>([...definition.reads, ...(definition.optional ?? [])]);
      const undeclared: PropertyKey[] = [];
      const guarded = new Proxy(contract.exchange(live), {
        get(exchange, name, receiver): unknown {
          if (name in slotNames && !declared.has(name)) {
            undeclared.push(name);
            throw new Error(`${definition.name} reads the slot ${String(name)} without declaring it`);
          }
          return Reflect.get(exchange, name, receiver);
        },
        set(_exchange, name): boolean {
          throw new Error(`${definition.name} writes ${String(name)} to the exchange`);
        },
      });
      await handle(guarded);
      expect(undeclared).toEqual([]);
    });

    it('returns exactly the slots that it has declared', async () => {
      const outcome = await handle(contract.exchange(live));
      if (outcome instanceof Halt) return;
      expect(new Set(Object.keys(outcome ?? {}))).toEqual(new Set<string>(definition.writes));
      for (const value of Object.values(outcome ?? {})) expect(value).toBeDefined();
    });

    it('changes nothing that it was given', async () => {
      const exchange = contract.exchange(live);
      for (const name of definition.reads) deepFreeze<unknown>(exchange[name]);
      for (const name of definition.optional ?? []) deepFreeze<unknown>(exchange[name]);
      deepFreeze(exchange.request);
      await handle(exchange);
    });

    it('serves another exchange like the first', async () => {
      const outcomes = [await handle(contract.exchange(live)), await handle(contract.exchange(live))];
      const [first, second] = outcomes.map((outcome) => Object.keys(outcome ?? {}));
      expect(first).toEqual(second);
    });

    it('does not go on waiting when the exchange is aborted', async () => {
      const controller = new AbortController();
      const reason = new Error('the client went away');
      controller.abort(reason);
      const run = async (): Promise<unknown> => handle(contract.exchange(controller.signal));
      // Stages that wait for nothing may as well finish; those that wait must end with the signal's reason.
      const outcome = await run().then(
        () => reason,
        (error: unknown) => error,
      );
      expect(outcome).toBe(reason);
    });
  });
}
