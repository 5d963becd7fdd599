/**
 * Checks that a list of stages can work in the order in which it stands. The rules, for each stage in turn:
 *
 * 1. every slot that it reads has been filled by a stage above it, or is filled from the start;
 * 2. a slot that it writes without reading is still empty, so nothing is overwritten unseen and nothing sent twice;
 * 3. every slot of its `before` is still empty: a gate that comes too late protects nothing;
 * 4. a slot filled from the start is not read above the stage that fills it properly: nobody is judged before they are known;
 * 5. what has to stand above or below a stage that makes jobs does;
 *
 * and at the end `response` is filled.
 */
import { givenSlots, type SlotName } from './exchange.ts';

/** A stage at its place in the file. */
export interface PlacedStage {
  readonly name: string;
  readonly reads: readonly SlotName[];
  readonly writes: readonly SlotName[];
  readonly before: readonly SlotName[];
  /** Whether it makes jobs of calls. */
  readonly makesJobs?: boolean;
  /** On which side of a stage that makes jobs it has to stand; undefined: on either. */
  readonly forJobs?: 'above' | 'below' | undefined;
  /** JSON pointer of the place. */
  readonly pointer: string;
  /** The list that a composite stage owns. */
  readonly nested?: readonly PlacedStage[];
}

export interface OrderProblem {
  /** Where the stage stands that cannot work. */
  readonly pointer: string;
  readonly message: string;
}

/**
 * All that is wrong with the order of a pipeline; empty when it can work.
 * @param producers names of the known stages that fill a slot, for the advice when none of them is in the list
 */
export function checkOrder(
  pipeline: readonly PlacedStage[],
  pointer: string,
  producers: (slot: SlotName) => readonly string[],
): readonly OrderProblem[] {
  const inOrder = flatten(pipeline);
  const problems: OrderProblem[] = [];
  const filled: FilledSlots = new Map(givenSlots.map((slot) => [slot, undefined]));

  for (const [index, stage] of inOrder.entries()) {
    const below = inOrder.slice(index + 1);
    const messages = [
      ...wrongReads(stage, below, filled, producers),
      ...wrongGates(stage, filled),
      ...wrongWrites(stage, filled),
      ...wrongSides(stage, inOrder.slice(0, index), below),
    ];
    problems.push(...messages.map((message) => ({ pointer: stage.pointer, message })));
    for (const slot of stage.writes) {
      if (fills(stage, slot)) filled.set(slot, stage);
      // That it is missing has been said; who fills it further down makes no mistake of its own.
      else if (!filled.has(slot)) filled.set(slot, undefined);
    }
  }

  if (problems.length === 0 && !filled.has('response')) {
    problems.push({
      pointer: inOrder.at(-1)?.pointer ?? pointer,
      message: `this pipeline ends without an answer: add ${choice(producers('response'))} at its end`,
    });
  }
  return problems;
}

/** The stage that filled each slot; undefined for what is given, or should have been. */
type FilledSlots = Map<SlotName, PlacedStage | undefined>;

/** Rules 1 and 4. What one stage further down would mend is one problem. */
function wrongReads(
  stage: PlacedStage,
  below: readonly PlacedStage[],
  filled: FilledSlots,
  producers: (slot: SlotName) => readonly string[],
): readonly string[] {
  const late = (slot: SlotName): string | undefined => below.find((other) => fills(other, slot))?.name;
  const empty = stage.reads.filter((slot) => !filled.has(slot));
  const unfounded = stage.reads.filter((slot) => filled.has(slot) && filled.get(slot) === undefined && late(slot));
  const name = quote(stage.name);
  return [
    ...Array.from(Map.groupBy(empty, late), ([producer, slots]) =>
      producer === undefined
        ? slots.map(
            (slot) =>
              `${name} reads ${quote(slot)}, which no stage of this pipeline fills: add ${choice(producers(slot))} above it`,
          )
        : `${name} reads ${all(slots)}, which ${quote(producer)} fills only further down: move ${quote(producer)} above ${name}`,
    ).flat(),
    ...Array.from(
      Map.groupBy(unfounded, late),
      ([producer = '', slots]) =>
        `${name} reads ${all(slots)} before ${quote(producer)} has established it: move ${quote(producer)} above ${name}`,
    ),
  ];
}

/** Rule 3. */
function wrongGates(stage: PlacedStage, filled: FilledSlots): readonly string[] {
  return stage.before.flatMap((slot) => {
    const culprit = filled.get(slot);
    if (culprit === undefined || stage.writes.includes(slot)) return [];
    return `${quote(stage.name)} must run before ${quote(slot)} is there, but ${quote(culprit.name)} above it fills that: move ${quote(stage.name)} above ${quote(culprit.name)}`;
  });
}

/** Rule 2. */
function wrongWrites(stage: PlacedStage, filled: FilledSlots): readonly string[] {
  return stage.writes.flatMap((slot) => {
    const culprit = filled.get(slot);
    if (culprit === undefined || !fills(stage, slot)) return [];
    return `${quote(stage.name)} fills ${quote(slot)}, which ${quote(culprit.name)} above it has filled already: remove one of them`;
  });
}

/** Rule 5. */
function wrongSides(
  { name, forJobs }: PlacedStage,
  above: readonly PlacedStage[],
  below: readonly PlacedStage[],
): readonly string[] {
  if (forJobs === undefined) return [];
  const maker = (forJobs === 'above' ? above : below).find(({ makesJobs = false }) => makesJobs);
  if (maker === undefined) return [];
  const here = forJobs === 'above' ? 'below' : 'above';
  return [
    `${quote(name)} does nothing for jobs ${here} ${quote(maker.name)}, which makes them: move ${quote(name)} ${forJobs} it`,
  ];
}

/** Whether a stage fills a slot from nothing, as opposed to changing what is there. */
function fills(stage: PlacedStage, slot: SlotName): boolean {
  return stage.writes.includes(slot) && !stage.reads.includes(slot);
}

/** The stages in the order in which they first run: a composite, then the list that it owns. */
function flatten(pipeline: readonly PlacedStage[]): PlacedStage[] {
  return pipeline.flatMap((stage) => [stage, ...flatten(stage.nested ?? [])]);
}

const quote = (name: string): string => `\`${name}\``;

const all = (names: readonly string[]): string => names.map(quote).join(' and ');

function choice(names: readonly string[]): string {
  return names.length === 0 ? 'a stage that does' : names.map(quote).join(' or ');
}
