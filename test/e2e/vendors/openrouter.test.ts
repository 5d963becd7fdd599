import { vendorSuite } from '../../contract/vendor-suite.ts';
import { openrouterChatSuite, openrouterSuite } from '../../fixtures/vendors/fake-openrouter.ts';

vendorSuite(openrouterSuite);
vendorSuite(openrouterChatSuite);
