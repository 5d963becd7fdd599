/** What a command may use of the process that runs it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  /** Whether `err` shows colours. */
  readonly colour: boolean;
  onSignal(name: 'SIGTERM' | 'SIGINT' | 'SIGHUP', listener: () => void): void;
  /** Called for an error that nobody caught; the process cannot be trusted any more. */
  onCrash(listener: (error: unknown) => void): void;
  exit(code: number): void;
}

/** What every command is given. */
export interface CommandInput {
  /** Path of the file. */
  readonly config: string;
  /** Further arguments. */
  readonly rest: readonly string[];
  /** Its own options. */
  readonly values: CommandValues;
}

export type CommandValues = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

/** An option of a command's own. */
export interface CommandOption {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** What stands for its value in the help. */
  readonly value?: string;
  readonly about: string;
}

/** A command; what it resolves to is the process's exit code: 0 done, 1 failed, 2 used wrongly. */
export interface Command {
  readonly name: string;
  /** Its arguments, for the help. */
  readonly usage: string;
  readonly about: string;
  readonly options?: Readonly<Record<string, CommandOption>>;
  run(input: CommandInput, terminal: Terminal): Promise<number>;
}
