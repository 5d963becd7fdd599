import { vendorSuite } from '../../contract/vendor-suite.ts';
import { grokSuite } from '../../fixtures/vendors/fake-grok.ts';

vendorSuite(grokSuite);
