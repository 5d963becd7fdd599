import { IncomingMessage, type IncomingHttpHeaders } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { corsHeaders, isPreflight, preflightHeaders } from '../../../src/http/cors.ts';

const app = 'https://app.example.com';
const settings = { origins: [app] };

function request(method: string, headers: IncomingHttpHeaders): IncomingMessage {
  const made = new IncomingMessage(new Socket());
  return Object.assign(made, { method, headers });
}

const preflight = (headers: IncomingHttpHeaders = {}): IncomingMessage =>
  request('OPTIONS', { origin: app, 'access-control-request-method': 'POST', ...headers });

describe('answers', () => {
  it('let an origin of the list read them, with the headers that clients look for', () => {
    const headers = corsHeaders(app, settings);
    expect(headers).toMatchObject({ 'access-control-allow-origin': app, vary: 'origin' });
    const exposed = headers['access-control-expose-headers']?.split(', ');
    expect(exposed).toEqual(
      expect.arrayContaining(['x-request-id', 'retry-after', 'x-should-retry', 'x-pinhole-entity']),
    );
  });

  it('let nobody else, and keep caches from mixing the two up', () => {
    expect(corsHeaders('https://evil.example', settings)).toEqual({ vary: 'origin' });
    expect(corsHeaders(`${app}.evil.example`, settings)).toEqual({ vary: 'origin' });
    expect(corsHeaders(undefined, settings)).toEqual({ vary: 'origin' });
  });

  it('let everybody when the list says so', () => {
    const headers = corsHeaders('https://any.example', { origins: ['*'] });
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(headers).not.toHaveProperty('vary');
  });

  it('say nothing without settings', () => {
    expect(corsHeaders(app, undefined)).toEqual({});
  });
});

describe('a preflight', () => {
  it('is an OPTIONS that asks for a method', () => {
    expect(isPreflight(preflight())).toBe(true);
    expect(isPreflight(request('OPTIONS', { origin: app }))).toBe(false);
    expect(isPreflight(request('POST', { origin: app, 'access-control-request-method': 'POST' }))).toBe(false);
  });

  it('allows what clients send by name, and what is asked for', () => {
    const asked = 'X-Stainless-Lang,x-stainless-os , authorization';
    const headers = preflightHeaders(preflight({ 'access-control-request-headers': asked }), settings);
    const allowed = headers['access-control-allow-headers']?.split(', ');
    expect(allowed).toEqual(
      expect.arrayContaining(['authorization', 'content-type', 'x-requested-with', 'x-api-key', 'api-key']),
    );
    expect(allowed).toEqual(expect.arrayContaining(['x-stainless-lang', 'x-stainless-os', 'idempotency-key']));
    expect(allowed?.filter((name) => name === 'authorization')).toHaveLength(1);
    expect(headers['access-control-allow-methods']).toContain('POST');
  });

  it('does not repeat what is no header name', () => {
    const headers = preflightHeaders(preflight({ 'access-control-request-headers': 'a b, x:y, ok' }), settings);
    expect(headers['access-control-allow-headers']).toMatch(/, ok$/);
    expect(headers['access-control-allow-headers']).not.toMatch(/a b|x:y/);
  });

  it('of another origin is allowed nothing', () => {
    expect(preflightHeaders(preflight({ origin: 'https://evil.example' }), settings)).toEqual({});
  });
});
