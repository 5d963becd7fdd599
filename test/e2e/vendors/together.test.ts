import { vendorSuite } from '../../contract/vendor-suite.ts';
import { togetherSuite } from '../../fixtures/vendors/fake-together.ts';

vendorSuite(togetherSuite);
