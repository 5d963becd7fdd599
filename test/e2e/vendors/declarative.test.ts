import { describe, expect, it } from 'vitest';
import { vendorSuite, type VendorSuite } from '../../contract/vendor-suite.ts';
import { exampleConfig } from '../../fixtures/declarative.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { runGateway } from '../../fixtures/gateway.ts';
import { hiveSuite } from '../../fixtures/vendors/fake-hive.ts';
import { lumaSuite } from '../../fixtures/vendors/fake-luma.ts';

/** The vendor of this suite, described in YAML instead of code. */
function declared(suite: VendorSuite, example: string): VendorSuite {
  const { connection: _real, ...config } = exampleConfig(example);
  return { ...suite, provider: 'declarative', config };
}

vendorSuite(declared(hiveSuite, 'hive'));
vendorSuite(declared(lumaSuite, 'luma'));

describe('a declarative provider', () => {
  it('has its expressions checked when the file is loaded, each with its line', async () => {
    const { operations: _own, ...config } = exampleConfig('hive');
    const operations = { generation: { request: { path: '/x', json: { prompt: '= call.promt' } } } };
    const entity = { id: 'declared', provider: 'declarative', config: { ...config, operations } };
    const { code, stderr } = await runGateway({ config: gatewayConfig([entity]) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:\d+:\d+ the expression is wrong: No such key: promt, at `call\.promt`/);
  });
});
