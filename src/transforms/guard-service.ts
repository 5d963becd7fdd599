import type { Service, StageEnv } from '../pipeline/stage.ts';

/** The connections to the service at an address, shared by all that ask it, for as long as the file names it. */
export function connectService(url: string, { services, share }: Pick<StageEnv, 'services' | 'share'>): Service {
  const { origin } = new URL(url);
  return share(
    `service:${origin}`,
    () => services.connect(origin),
    (service) => service.close(),
  );
}
