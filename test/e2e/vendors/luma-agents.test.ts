import { vendorSuite } from '../../contract/vendor-suite.ts';
import { lumaAgentsSuite } from '../../fixtures/vendors/fake-luma-agents.ts';

vendorSuite(lumaAgentsSuite);
