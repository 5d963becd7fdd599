/** The part of the store contract about jobs: calls that somebody has been promised, and will ask after. */
export interface JobStore {
  /**
   * Puts a job at the end of the queue, unless that is full. False: it is.
   * @param id unique for ever, and hard to guess
   * @throws GatewayError overloaded
   */
  createJob(id: string, job: NewJob): Promise<boolean>;

  /**
   * Takes the job that has waited longest; undefined when none waits. It is the holder's from then on, for as long as this
   * process lives: of a process that is gone, `maintain` puts back to the queue what was not sent, or has a place, and ends
   * as failed, without an outcome, what was, and what was taken five times.
   * @param holder unique for ever
   * @throws GatewayError overloaded
   */
  claimJob(holder: string): Promise<Job | undefined>;

  /**
   * Says that the holder's job is about to be sent to a provider: nobody else will send it any more, whatever becomes of the
   * holder. False when the holder has lost it, and must not send anything.
   * @throws GatewayError overloaded
   */
  sendJob(id: string, holder: string): Promise<boolean>;

  /**
   * Puts the holder's job back to the queue, if it has one: nothing was sent, or somebody else can go on. So it also undoes a
   * claim of which it is not known whether it has happened.
   * @throws GatewayError overloaded
   */
  returnJob(holder: string): Promise<void>;

  /**
   * Keeps where the holder's job is with its provider: should the holder be gone, or put the job back, it goes to the queue
   * although it was sent, and whoever takes it can go on from there. Undefined: nobody could any more.
   * @param place opaque to the store; some kilobytes at most
   * @throws GatewayError overloaded
   */
  placeJob(id: string, holder: string, place: string | undefined): Promise<void>;

  /**
   * Has an open reservation outlive this process: nobody settles it because its process is gone.
   * @param heldUntilMs in place of the reservation's own, milliseconds since 1970
   * @throws GatewayError overloaded
   */
  carryReservation(id: string, heldUntilMs: number): Promise<void>;

  /** Says how far a job of the holder's is. @param progress from 0 to 1 @throws GatewayError overloaded */
  noteJobProgress(id: string, holder: string, progress: number): Promise<void>;

  /** Those of the holders that still hold their jobs. @throws GatewayError overloaded */
  heldJobs(holders: readonly string[]): Promise<readonly string[]>;

  /** Ends a job of the holder's. Does nothing when the holder has lost it. @throws GatewayError overloaded */
  finishJob(id: string, holder: string, end: JobEnd): Promise<void>;

  /**
   * Ends a job that is not over as cancelled; its holder loses it. Gives the job as it is then, undefined when there is none.
   * @param keptUntilMs until when it is known, milliseconds since 1970
   * @throws GatewayError overloaded
   */
  cancelJob(id: string, keptUntilMs: number): Promise<Job | undefined>;

  /** @throws GatewayError overloaded */
  readJob(id: string): Promise<Job | undefined>;

  /** How many jobs wait, and how many are held. @throws GatewayError overloaded */
  countJobs(): Promise<JobCounts>;

  /**
   * Takes the job over which somebody is to be told of its end, and has waited longest for that; undefined when there is none.
   * @param againAtMs when it is due again should nothing be heard of it, milliseconds since 1970
   * @throws GatewayError overloaded
   */
  claimJobNotice(againAtMs: number): Promise<Job | undefined>;

  /**
   * Says when somebody is to be told again; undefined: never.
   * @param tries those of the notice that was taken; with others, somebody else has taken it meanwhile, and nothing is changed
   * @throws GatewayError overloaded
   */
  settleJobNotice(id: string, tries: number, againAtMs: number | undefined): Promise<void>;
}

export interface NewJob {
  /** The id of the consumer whose it is; null: nobody's. */
  readonly consumer: string | null;
  /** Opaque to the store; some kilobytes at most. */
  readonly request: string;
  /** Until when it is known, at the least, should nothing else be said. Milliseconds since 1970. */
  readonly keptUntilMs: number;
  /** Whether somebody is to be told of its end. */
  readonly notify: boolean;
  /** The most jobs that may wait. */
  readonly mostQueued: number;
}

export interface JobEnd {
  readonly state: 'succeeded' | 'failed';
  /** Opaque to the store; some kilobytes at most. */
  readonly outcome: string;
  /** Milliseconds since 1970. */
  readonly keptUntilMs: number;
}

/** `running`: somebody holds it. `sent`: the same, and a provider may have seen it. The others are ends. */
export type JobState = 'queued' | 'running' | 'sent' | 'succeeded' | 'failed' | 'cancelled';

/** A job. Moments are milliseconds since 1970. */
export interface Job {
  readonly id: string;
  readonly consumer: string | null;
  readonly state: JobState;
  readonly request: string;
  /** Null unless it has succeeded or failed, and also when it has failed because its process is gone. */
  readonly outcome: string | null;
  /** Where it is with its provider, as `placeJob` was told; null: it has to be begun. */
  readonly place: string | null;
  /** Null while nothing is known. */
  readonly progress: number | null;
  readonly createdAtMs: number;
  /** When it was first taken from the queue. */
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly keptUntilMs: number;
  /** How often somebody was told, or was to be told, of its end. */
  readonly noticeTries: number;
}

export interface JobCounts {
  readonly queued: number;
  readonly running: number;
}
