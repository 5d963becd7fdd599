/**
 * Makes calls of a slow function wait for each other: one run at a time, and at most one more in waiting, which serves
 * everybody who asked meanwhile with the argument that came last. So each caller gets the result of a run that started
 * after it had asked, and a burst of calls costs two runs.
 */
export function coalesce<Argument, Result>(
  run: (argument: Argument) => Promise<Result>,
): (argument: Argument) => Promise<Result> {
  let running: Promise<unknown> | undefined;
  let waiting: { argument: Argument; readonly result: Promise<Result> } | undefined;

  function start(argument: Argument): Promise<Result> {
    const result = run(argument);
    const settled = () => {
      running = undefined;
    };
    running = result.then(settled, settled);
    return result;
  }

  return function ask(argument) {
    // In this order: between the end of one run and the start of the next, nothing runs but somebody waits.
    if (waiting !== undefined) {
      waiting.argument = argument;
      return waiting.result;
    }
    if (running === undefined) return start(argument);
    const result = running.then(() => {
      const latest = waiting === undefined ? argument : waiting.argument;
      waiting = undefined;
      return start(latest);
    });
    waiting = { argument, result };
    return result;
  };
}
