/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * The file that declares a Pinhole gateway. It may change at any time; a change that is not valid changes nothing.
 */
export interface GatewayFile {
  /**
   * The version of this file's format.
   */
  version: 1;
  server: ServerFile;
  admin: AdminFile;
  /**
   * Where counters and the ledger are kept: sqlite:PATH, which the processes of one machine may share; postgres://USER:PASSWORD@HOST/DATABASE, which several machines may share; or memory: for tests.
   */
  state: string;
  /**
   * Where requests are counted against rate limits. state: with the state, so for all processes that share it. process: in the memory of each process, for itself alone. Or redis://USER:PASSWORD@HOST:PORT/DATABASE, with rediss: over TLS. Absent: state.
   */
  rate_limits?: string;
  /**
   * What becomes of a call while the state cannot be written to, or of one that cannot be counted against its rate limits. reject: it is refused with 503 before anything is sent. allow: it goes on, and is counted nowhere but in the log.
   */
  on_state_failure: 'reject' | 'allow';
  ledger: LedgerFile;
  /**
   * Where hosted images are kept: file:FOLDER, or s3://BUCKET/PREFIX?region=REGION&endpoint=URL&path_style=true, of which only the bucket must be given.
   */
  images: string;
  images_credentials?: ImagesCredentialsFile;
  image_links?: ImageLinksFile;
  image_urls: ImageUrlsFile;
  /**
   * What is logged, and how.
   */
  logging: {
    /**
     * The least severe level that is logged.
     */
    level: 'debug' | 'info' | 'warn' | 'error';
    /**
     * One JSON object a line, or text for people.
     */
    format: 'json' | 'pretty';
  };
  /**
   * The entities: providers with their connections and options.
   */
  image_models: EntityFile[];
  /**
   * Names that callers may write in `model`, and what stands behind them.
   */
  aliases: {
    [k: string]: AliasFile;
  };
  /**
   * The callers. None: the gateway is open to everybody.
   */
  consumers: ConsumerFile[];
  /**
   * Users, for rules that hold for all of their consumers.
   */
  users: UserFile[];
  /**
   * Limits on what is used.
   */
  budgets: BudgetFile[];
  alerts: AlertsFile;
  jobs: JobsFile;
  /**
   * What models cost, on top of the built-in table: a price for an entity goes before one for a provider, and one for a model before one for all models.
   */
  prices: PriceFile[];
  /**
   * A call to a model whose price nobody knows, where a budget in dollars applies: refuse it, or let it through uncounted.
   */
  unpriced: 'reject' | 'allow';
  /**
   * Pipelines that routes refer to by name.
   */
  pipelines: {
    /**
     * Stages, in the order in which they run.
     *
     * @minItems 1
     */
    [k: string]: StageFile[];
  };
  /**
   * What the gateway answers.
   */
  routes: RouteFile[];
  /**
   * Modules that bring stages or providers.
   *
   * Items: Path of a module.
   */
  extensions: string[];
}
/**
 * The public listener.
 */
export interface ServerFile {
  /**
   * The address or addresses to listen on: HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces.
   *
   * @minItems 1
   *
   * Items: An address to listen on.
   */
  listen: string[];
  /**
   * The address under which clients reach the gateway: the prefix of links to hosted images. Absent: taken from the request.
   */
  public_url?: string;
  /**
   * Serve HTTPS. The files are watched.
   */
  tls?: {
    /**
     * Path of the certificate chain, PEM.
     */
    cert: string;
    /**
     * Path of the private key, PEM.
     */
    key: string;
  };
  /**
   * How many requests may be under way at the same time, those of `forward` routes included. Further ones are answered with 503 `overloaded` and a `retry-after` before anything of them is read.
   */
  max_requests: number;
  /**
   * Networks whose `x-forwarded-for` is believed.
   *
   * Items: An address, or a network such as 10.0.0.0/8.
   */
  trusted_proxies: string[];
  /**
   * Which web pages may call the gateway from a browser.
   */
  cors?: {
    /**
     * Origins such as https://app.example.com, or *.
     *
     * @minItems 1
     *
     * Items: An origin.
     */
    origins: string[];
  };
  /**
   * How long the gateway waits. Durations, or milliseconds.
   */
  timeouts: {
    /**
     * For the request's headers. Here: milliseconds.
     */
    headers: number;
    /**
     * For the request's body. Here: milliseconds.
     */
    body: number;
    /**
     * For the whole exchange, the answer included. Here: milliseconds.
     */
    request: number;
    /**
     * For the next request on an idle connection. Here: milliseconds.
     */
    keep_alive: number;
    /**
     * For requests under way when the gateway stops. Here: milliseconds.
     */
    drain: number;
  };
}
/**
 * The listener for health, metrics and status. Never reachable on the public listener.
 */
export interface AdminFile {
  /**
   * The address to listen on: HOST:PORT.
   */
  listen: string;
  /**
   * The bearer token that the admin listener asks for. Needed unless the address is loopback.
   */
  token: string;
}
/**
 * The ledger: one row for each request for pictures.
 */
export interface LedgerFile {
  /**
   * How long rows are kept. Absent: for ever. Here: milliseconds.
   */
  keep?: number;
}
/**
 * What requests to an S3 bucket in `images` are signed with. Without effect on a folder.
 */
export interface ImagesCredentialsFile {
  /**
   * The id of the key.
   */
  access_key_id: string;
  /**
   * The key.
   */
  secret_access_key: string;
  /**
   * The token that belongs to a key which is valid for a while only.
   */
  session_token?: string;
}
/**
 * Links to hosted images are signed, and work for a while only. Absent: whoever knows an image's link may have it.
 */
export interface ImageLinksFile {
  /**
   * What links are signed with. Of several, the first signs new links; links that any of them signed are good.
   *
   * @minItems 1
   *
   * Items: A secret text that nobody can guess.
   */
  secret: string[];
  /**
   * How long a link works: a duration, or milliseconds. The image behind it may last longer. Here: milliseconds.
   */
  expires: number;
}
/**
 * Input pictures that callers give as links: from where the gateway fetches them, and within which bounds. Links that providers answer with are none of its business.
 */
export interface ImageUrlsFile {
  /**
   * Whether links are taken at all. A route can switch them off for itself with `image_urls: false`.
   */
  enabled: boolean;
  /**
   * Where links may lead; empty: to any public host. A host (pictures.example.com), all hosts below a name (*.example.com) or any host (*) must still be public and is fetched with https on port 443. An origin (https://10.1.2.3:8443) is trusted: it may be private, on another port, and without TLS.
   *
   * Items: A host, a name with *. before it, *, or an origin.
   */
  allow: string[];
  /**
   * Where links may not lead, whatever `allow` says: hosts and origins in the same spelling.
   *
   * Items: A host, a name with *. before it, *, or an origin.
   */
  deny: string[];
  /**
   * The largest picture that is fetched: a size, or bytes. All pictures of a call together may have as many bytes as the route's `max_size_upload` says. Here: bytes.
   */
  max_size: number;
  /**
   * How long all the links of a call may take together, redirects included: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
  /**
   * How many redirects one link may take. Each is judged like a link of its own.
   */
  redirects: number;
}
/**
 * An image-model entity: one provider with its connection, its options and the models it may serve.
 */
export interface EntityFile {
  /**
   * The name by which routes, aliases and callers refer to this entity.
   */
  id: string;
  /**
   * A name for people. Its slug may stand before the `/` in `model`, like the id. Absent: the id.
   */
  name?: string;
  /**
   * What this entity is for.
   */
  description?: string;
  /**
   * Labels for people. The gateway does not interpret them.
   *
   * Items: A label.
   */
  tags: string[];
  /**
   * Notes for people and other tools. The gateway does not interpret them.
   */
  metadata: {
    /**
     * A note.
     */
    [k: string]: string;
  };
  /**
   * The kind of provider, built in or brought by an extension.
   */
  provider: string;
  /**
   * The provider's connection and options.
   */
  config: {
    [k: string]: unknown;
  };
  models: ModelsFile;
  /**
   * When calls are kept from this entity, and from one of its tokens. It goes by what calls come to: nothing is ever sent to find out.
   */
  health: {
    /**
     * Whether failures have consequences for later calls.
     */
    enabled: boolean;
    /**
     * What is taken out of service: one model of the entity, or the entity with all of them.
     */
    per: 'model' | 'entity';
    /**
     * Failures in a row after which it is out of service. Refusals that are the caller's doing, and 429, are none.
     */
    failures: number;
    /**
     * The percentage of failures among the calls of the last 30 seconds from which on it is out of service, if there were 20 at least.
     */
    failure_rate: number;
    /**
     * How long it is out of service. Then one call is let through: when that succeeds all are, else it is out for as long again. Here: milliseconds.
     */
    open_for: number;
    /**
     * Whether it is tried while it is out of service when no other candidate is in service. Otherwise such a call is refused with 503.
     */
    last_resort: boolean;
    /**
     * How long a token is passed over for a model after a 429 that does not say how long. Here: milliseconds.
     */
    rest: number;
    /**
     * The longest that it is passed over, whatever the 429 says. Here: milliseconds.
     */
    max_rest: number;
    /**
     * How long a token is passed over that the provider does not accept, or whose quota is used up. Here: milliseconds.
     */
    rest_refused: number;
  };
  /**
   * How many requests this entity may have under way at the same time. Absent: as many as there are.
   */
  concurrency?: {
    /**
     * Requests under way, from the first byte sent to the last byte of the answer.
     */
    max: number;
    /**
     * Further requests that may wait for one of them to end. Beyond it the next candidate is tried, or the call is refused with 429.
     */
    queue: number;
    /**
     * The longest that a request waits. It is part of the connection's `timeout`. Here: milliseconds.
     */
    wait: number;
  };
}
/**
 * Which models this entity may serve, whoever asks. The patterns match the bare model name.
 */
export interface ModelsFile {
  /**
   * Patterns of the models that may be used. Empty: all.
   *
   * Items: A regular expression.
   */
  include: string[];
  /**
   * Patterns of the models that may not be used, whatever `include` says.
   *
   * Items: A regular expression.
   */
  exclude: string[];
}
/**
 * What stands behind one name.
 */
export interface AliasFile {
  /**
   * Which target of one priority is tried first. failover: in order of the list. round_robin: each in turn. weighted: by chance, in proportion to the weights. least_latency: the one that has lately answered fastest, those of which nothing is known yet before it. least_cost: the one whose price for the call is lowest, those without a price last.
   */
  strategy: 'failover' | 'round_robin' | 'weighted' | 'least_latency' | 'least_cost';
  /**
   * user: an end user (or else the consumer's user, or the consumer) always begins at the same target of one priority, for as long as it is there; under `weighted` the weights say how many do. The strategy orders for callers of whom nothing is known.
   */
  sticky?: 'user';
  /**
   * What may serve the name: ENTITY/MODEL, or an object with a weight or a priority.
   *
   * @minItems 1
   */
  targets: AliasTargetFile[];
}
/**
 * One target.
 */
export interface AliasTargetFile {
  /**
   * ENTITY/MODEL: the id of an entity and a model of its provider.
   */
  target: string;
  /**
   * The target's share under the strategy `weighted`.
   */
  weight: number;
  /**
   * Targets with a lower number are tried before all those with a higher one; the strategy orders those with the same.
   */
  priority: number;
}
/**
 * A caller, known by its key.
 */
export interface ConsumerFile {
  /**
   * The consumer's name, as budgets and the log show it.
   */
  id: string;
  /**
   * The key that the caller sends. Only its hash is kept in memory.
   */
  key?: string;
  /**
   * The SHA-256 of the key in hexadecimal, in place of `key`.
   */
  key_sha256?: string;
  /**
   * Further keys of the consumer, such as a new one beside the old one for as long as both are in use. Each a key, or an object.
   */
  keys: ConsumerKeyFile[];
  /**
   * Whether the consumer's keys are valid.
   */
  enabled: boolean;
  /**
   * From when on none of the consumer's keys is valid any more: a date, or date and time with a time zone. Absent: never.
   */
  expires_at?: string;
  /**
   * Networks from which the keys may be used, by the address that is left when `server.trusted_proxies` are taken off. Absent: from everywhere.
   *
   * @minItems 1
   *
   * Items: An address, or a network such as 10.0.0.0/8.
   */
  ip_allow?: string[];
  /**
   * Facts about the consumer for webhooks and for stages of extensions. The gateway does not go by them.
   */
  metadata: {
    /**
     * One fact.
     */
    [k: string]: string | number | boolean;
  };
  /**
   * The user behind the consumer, whose rules hold as well.
   */
  user?: string;
  /**
   * The team that the consumer belongs to, for budgets.
   */
  team?: string;
  models: ModelsFile;
  /**
   * Budgets that count this consumer's calls, whatever their scope says.
   *
   * Items: The id of a budget.
   */
  budgets: string[];
}
/**
 * A key, or its hash.
 */
export interface ConsumerKeyFile {
  /**
   * The key that the caller sends. Only its hash is kept in memory.
   */
  key?: string;
  /**
   * The SHA-256 of the key in hexadecimal, in place of `key`.
   */
  key_sha256?: string;
  /**
   * From when on the key is not valid any more: a date, or date and time with a time zone. Absent: never.
   */
  expires_at?: string;
  /**
   * What the key is for, for whoever reads the file.
   */
  note?: string;
}
/**
 * A user.
 */
export interface UserFile {
  /**
   * The name that consumers give in `user`.
   */
  id: string;
  models: ModelsFile;
}
/**
 * A limit for everything in its scope, counted in windows of time.
 */
export interface BudgetFile {
  /**
   * The budget's name.
   */
  id: string;
  /**
   * How much may be used in one window.
   */
  limit: {
    /**
     * US dollars, to the nano-dollar.
     */
    usd?: number;
    /**
     * Number of pictures.
     */
    images?: number;
  };
  /**
   * The calendar unit after which the count starts again. Either this or `rolling`.
   */
  window?: 'hour' | 'day' | 'week' | 'month' | 'year' | 'lifetime';
  /**
   * In place of `window`: how long what was used counts, such as 30d. It is counted in 60 parts, so it may count for up to a sixtieth longer, and never for less. Here: milliseconds.
   */
  rolling?: number;
  /**
   * The time zone in which each `window` begins, such as Europe/Berlin.
   */
  time_zone: string;
  /**
   * What the budget counts. Lists that are given must all match; none given: everything. In every list may stand names, and regular expressions in RE2's syntax that must match the whole name.
   */
  scope: {
    /**
     * Consumers, by id.
     *
     * @minItems 1
     *
     * Items: The id of a consumer, or a pattern.
     */
    consumers?: string[];
    /**
     * Users, by id.
     *
     * @minItems 1
     *
     * Items: The id of a user, or a pattern.
     */
    users?: string[];
    /**
     * Teams.
     *
     * @minItems 1
     *
     * Items: The name of a team, or a pattern.
     */
    teams?: string[];
    /**
     * Patterns, of which one must match the bare model, `entity/model`, or the alias as asked.
     *
     * @minItems 1
     *
     * Items: A regular expression.
     */
    models?: string[];
    /**
     * Providers, by the kind of provider or by the entity's id.
     *
     * @minItems 1
     *
     * Items: A kind of provider, the id of an entity, or a pattern.
     */
    providers?: string[];
    /**
     * Entities, by id.
     *
     * @minItems 1
     *
     * Items: The id of an entity, or a pattern.
     */
    entities?: string[];
    /**
     * Routes, by id.
     *
     * @minItems 1
     *
     * Items: The id of a route, or a pattern.
     */
    routes?: string[];
  };
  /**
   * Keep one counter for each value of this. Absent: one for all. `end_user` is whom the caller names in `x-pinhole-user-id`, or else in `user`: its own word.
   */
  per?: 'consumer' | 'user' | 'team' | 'end_user' | 'model' | 'provider' | 'entity' | 'route';
  /**
   * Refuse the call, or only warn in the log.
   */
  on_exceed: 'block' | 'warn';
  /**
   * Percent of the limit at which an alert is raised, once in each window: a line in the log, and the webhook of `alerts`. At 100 also when a call is refused because there is no room for it.
   *
   * @maxItems 10
   *
   * Items: Percent of the limit.
   */
  alert_at: number[];
  /**
   * A call whose client left and that was cancelled: count it (the provider may bill it), or not.
   */
  abandoned: 'settle' | 'release';
}
/**
 * Where alerts of budgets go, besides the log.
 */
export interface AlertsFile {
  webhook?: AlertWebhookFile;
}
/**
 * A service that is told of each alert: `POST URL` with the alert as JSON. An answer with a 2xx status will do; without one it is told again, five times in all within some minutes.
 */
export interface AlertWebhookFile {
  /**
   * The address of the service. It may lie in your own network.
   */
  url: string;
  /**
   * Further headers, such as `authorization`.
   */
  headers: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * What requests are signed with: HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body, in `webhook-signature`, as standardwebhooks.com has it; and over the timestamp and the body in `x-pinhole-signature: t=TIMESTAMP,v1=HEX`. `whsec_` and base64, or any text. Absent: they are not signed.
   */
  secret?: string;
  /**
   * How long one try may take: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
}
/**
 * Calls with `Prefer: respond-async`, in pipelines with the stage `respond-async`.
 */
export interface JobsFile {
  /**
   * How many jobs one process runs at the same time.
   */
  concurrency: number;
  /**
   * How many jobs may wait, those of all processes that share the state together. One more is refused with status 429.
   */
  queue: number;
  /**
   * How many of one consumer's jobs may wait, so that nobody fills the queue alone; callers without a key share. One more is refused with status 429. Absent: as many as `queue`.
   */
  queue_per_consumer?: number;
  /**
   * How long a job may run once it has begun, in place of `server.timeouts.request`: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
  /**
   * How long a job and its result are kept after its end, and how long one may wait: a duration, or milliseconds. Here: milliseconds.
   */
  keep: number;
  /**
   * The largest result that is kept: a size, or bytes. A job with a larger one fails. Here: bytes.
   */
  max_answer_bytes: number;
  webhook?: JobWebhookFile;
}
/**
 * A service that is told of the end of each job: `POST URL` with `{type, created_at, data}`, the type `image.job.succeeded`, `image.job.failed` or `image.job.cancelled`, the job without its pictures as data. An answer with a 2xx status will do; without one it is told again, also by a gateway that was started anew. It may be told more than once, under the same `webhook-id`.
 */
export interface JobWebhookFile {
  /**
   * The address of the service. It may lie in your own network.
   */
  url: string;
  /**
   * Further headers, such as `authorization`.
   */
  headers: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * What requests are signed with, as standardwebhooks.com has it: HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body, in `webhook-signature`. `whsec_` and base64, or any text. Absent: they are not signed.
   */
  secret?: string;
  /**
   * How often the service is told until it answers. The pauses between begin at a second and grow fourfold, up to an hour; once the job is not kept any more it is not told.
   */
  tries: number;
  /**
   * How long one try may take: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
}
/**
 * What a model costs at an entity, or at every entity of a provider. It takes the place of all that the table says of the model.
 */
export interface PriceFile {
  /**
   * The kind of provider, in place of `entity`.
   */
  provider?: string;
  /**
   * The id of an entity, in place of `provider`.
   */
  entity?: string;
  /**
   * The model by the provider's own name, or * for all.
   */
  model: string;
  /**
   * US dollars for a picture that is made: one number, or by quality and then by size; * is any. 0 is free.
   */
  per_image?:
    | number
    | {
        /**
         * For this quality: one number, or by size.
         */
        [k: string]:
          | number
          | {
              /**
               * For this size.
               */
              [k: string]: number;
            };
      };
  /**
   * US dollars for each picture that is sent, on top of the rest.
   */
  per_input_image?: number;
  per_token?: TokenPricesFile;
  /**
   * US dollars for a megapixel (1024 × 1024 pixels), rounded up for each picture: one number for those that are made, or an object.
   */
  per_megapixel?:
    | number
    | {
        /**
         * The first megapixel of a picture that is made.
         */
        output_first: number;
        /**
         * Each further one.
         */
        output_next: number;
        /**
         * Each megapixel of a picture that is sent.
         */
        input_each?: number;
      };
  /**
   * US dollars for a step of diffusion of one picture.
   */
  per_step?: number;
}
/**
 * US dollars for a million tokens, by kind. With `per_image` beside it, that is what is reserved, and this what is billed.
 */
export interface TokenPricesFile {
  /**
   * The prompt.
   */
  text_input: number;
  /**
   * The part of the prompt that the provider had in its cache.
   */
  text_input_cached?: number;
  /**
   * Pictures that are sent.
   */
  image_input?: number;
  /**
   * The part of them that the provider had in its cache.
   */
  image_input_cached?: number;
  /**
   * Text that the model writes, thoughts included.
   */
  text_output?: number;
  /**
   * Pictures that the model makes.
   */
  image_output: number;
}
/**
 * A stage: its name, or an object with its name and config.
 */
export interface StageFile {
  /**
   * The stage's name, built in or brought by an extension.
   */
  plugin: string;
  /**
   * Whether the stage runs.
   */
  enabled: boolean;
  /**
   * The stage's own settings.
   */
  config: {
    [k: string]: unknown;
  };
}
/**
 * Requests to one path, and the pipeline that answers them.
 */
export interface RouteFile {
  /**
   * The route's name, as budgets and the log show it.
   */
  id: string;
  /**
   * An exact path; or one with `:name` segments; or one that ends in `*`. The most specific path wins.
   */
  path: string;
  /**
   * The methods that the route takes. Absent: all.
   *
   * @minItems 1
   *
   * Items: A method.
   */
  methods?: ('GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS')[];
  /**
   * The hosts that the route is for, without a port. Absent: all.
   *
   * @minItems 1
   *
   * Items: A host name or address.
   */
  hosts?: string[];
  /**
   * Headers that a request must have, with exactly these values. Absent: none.
   */
  headers?: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * The name of a pipeline, or the list of stages itself.
   *
   * @minItems 1
   */
  pipeline: string | StageFile[];
  /**
   * What a request without pictures is. A request with pictures is an edition.
   */
  operation?: 'generation' | 'edition';
  /**
   * The entities that may serve the route, in order of preference.
   *
   * Items: The id of an entity.
   */
  refs: string[];
  /**
   * Answer with the raw bytes when there is exactly one picture.
   */
  decode: boolean;
  /**
   * The largest request body: a size, or bytes. Here: bytes.
   */
  max_size_upload: number;
  /**
   * Whether input pictures may be given as links, as far as `image_urls` of the file has them.
   */
  image_urls: boolean;
  /**
   * Refuse parameters that the gateway does not know, instead of passing them on.
   */
  strict: boolean;
  /**
   * Kinds of providers that may serve the route; a call that leads to another is refused before anything is sent. Absent: all of its refs.
   *
   * @minItems 1
   *
   * Items: A kind of provider, such as openai.
   */
  allow_providers?: string[];
  /**
   * What becomes of a parameter that the resolved provider cannot take. drop: left out, and named in x-pinhole-dropped-params. reject: the call is refused. pass: sent all the same.
   */
  unsupported_params: 'drop' | 'reject' | 'pass';
  /**
   * What becomes of a call of several requests of which some fail. partial: the pictures of the others are returned. all_or_nothing: the call fails.
   */
  fanout: 'partial' | 'all_or_nothing';
  /**
   * What becomes of a call whose client leaves. cancel: it ends, at the provider as well where that is possible, and is charged at the most it may cost when it may have been billed. finish: it goes on to its end, its pictures are kept where the route hosts them, and it is charged as if the client had stayed. Absent: cancel, but finish for a call under an `Idempotency-Key`.
   */
  on_disconnect?: 'cancel' | 'finish';
  /**
   * provider: pass on a provider's link. host: the gateway hosts every picture that goes out as a link.
   */
  url_mode: 'provider' | 'host';
  /**
   * How long images are kept that the gateway hosts for this route: a duration, or milliseconds. Absent: for ever. Here: milliseconds.
   */
  images_expire?: number;
  models: ModelsFile;
  defaults: RequestDefaultsFile;
  upstream?: UpstreamFile;
}
/**
 * Request parameters filled in where the caller is silent.
 */
export interface RequestDefaultsFile {
  /**
   * What the picture should show.
   */
  prompt?: string | null;
  /**
   * An alias, `entity/model`, or a provider's own model name. Absent: the route's first entity and its default model.
   */
  model?: string | null;
  /**
   * How many pictures.
   */
  n?: number | null;
  /**
   * `auto`, WIDTHxHEIGHT in pixels, or an aspect ratio WIDTH:HEIGHT.
   */
  size?: string | null;
  /**
   * How much care the model takes, such as auto, low, medium, high, standard, hd.
   */
  quality?: string | null;
  /**
   * The style of the picture, such as vivid or natural.
   */
  style?: string | null;
  /**
   * The background: transparent, opaque or auto.
   */
  background?: string | null;
  /**
   * How strict the provider's own moderation is: low or auto.
   */
  moderation?: string | null;
  /**
   * The file format: png, jpeg or webp.
   */
  output_format?: string | null;
  /**
   * Compression of jpeg and webp pictures, in percent.
   */
  output_compression?: number | null;
  /**
   * How pictures are returned: url, b64_json or b64_ephemeral.
   */
  response_format?: string | null;
  /**
   * The caller's own id of its end user.
   */
  user?: string | null;
  /**
   * Makes the picture repeatable, where the provider can.
   */
  seed?: number | null;
  /**
   * Answer with server-sent events.
   */
  stream?: boolean | null;
  /**
   * How many unfinished pictures to send while streaming.
   */
  partial_images?: number | null;
  /**
   * How closely the input pictures are kept to: high or low.
   */
  input_fidelity?: string | null;
  /**
   * Further parameters, kept apart from OpenAI's own.
   */
  extra?: {
    [k: string]: unknown;
  } | null;
  /**
   * Models to try when the first fails, in this order.
   *
   * @maxItems 16
   */
  fallbacks?: string[] | null;
  /**
   * Input pictures: a link, a data URI, or a list of them.
   */
  image?: unknown;
  /**
   * Input pictures as OpenAI's JSON form has them: a list of objects with `image_url` or `file_id`.
   */
  images?: unknown;
  /**
   * Which part of the first picture to change: a link, a data URI, or an object with `image_url` or `file_id`.
   */
  mask?: unknown;
  [k: string]: unknown;
}
/**
 * Where a `forward` stage sends the request.
 */
export interface UpstreamFile {
  /**
   * The origin, and a path to put before the request's own.
   */
  url: string;
  /**
   * Headers to set in place of what the caller sent, by name.
   */
  headers: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * How long the upstream's headers may take to come: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
}
