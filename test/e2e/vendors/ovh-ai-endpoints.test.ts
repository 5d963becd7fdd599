import { vendorSuite } from '../../contract/vendor-suite.ts';
import { ovhAiEndpointsSuite } from '../../fixtures/vendors/fake-ovh-ai-endpoints.ts';

vendorSuite(ovhAiEndpointsSuite);
