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
export interface CommandOptions {
  /** Path of the file. */
  readonly config: string;
  /** Whether the path was given, rather than taken for granted. */
  readonly configIsGiven: boolean;
  /** The command's own options that were given; the text is empty for those that take none. */
  readonly values: Readonly<Record<string, string>>;
  /** What was given with options that may be repeated, in order. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  /** Further arguments. */
  readonly rest: readonly string[];
}

/** An option of a command's own. */
export interface CommandOption {
  readonly type: 'string' | 'boolean';
  /** Whether it may be repeated. */
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
  /** Its own options, by name; commands that share a name share its type. */
  readonly options?: Readonly<Record<string, CommandOption>>;
  run(options: CommandOptions, terminal: Terminal): Promise<number>;
}
