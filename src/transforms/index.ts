/** The stages that come with the gateway. A new one takes a line here. */
import type { AnyStage } from '../pipeline/stage.ts';
import { authenticate } from './authenticate.ts';
import { budget } from './budget.ts';
import { cache } from './cache.ts';
import { constrain } from './constrain.ts';
import { decode } from './decode.ts';
import { dispatch } from './dispatch.ts';
import { fallback } from './fallback.ts';
import { forward } from './forward.ts';
import { guard } from './guard.ts';
import { idempotency } from './idempotency.ts';
import { imageJob } from './image-job.ts';
import { listModels } from './list-models.ts';
import { parse } from './parse.ts';
import { providerTransform } from './provider-transform.ts';
import { rateLimit } from './rate-limit.ts';
import { respondAsync } from './respond-async.ts';
import { responseNormalise } from './response-normalise.ts';
import { routeResolve } from './route-resolve.ts';
import { serveImage } from './serve-image.ts';
import { singleFlight } from './single-flight.ts';

export const stages: readonly AnyStage[] = [
  authenticate,
  rateLimit,
  parse,
  idempotency,
  routeResolve,
  constrain,
  guard,
  respondAsync,
  cache,
  singleFlight,
  budget,
  fallback,
  providerTransform,
  dispatch,
  responseNormalise,
  decode,
  forward,
  listModels,
  serveImage,
  imageJob,
];
