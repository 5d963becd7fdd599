import { vendorSuite } from '../../contract/vendor-suite.ts';
import { openaiSuite } from '../../fixtures/vendors/fake-openai.ts';

vendorSuite(openaiSuite);
