import { vendorSuite } from '../../contract/vendor-suite.ts';
import { cloudTempleSuite } from '../../fixtures/vendors/fake-cloud-temple.ts';

vendorSuite(cloudTempleSuite);
