import type { BlobStoreDefinition } from './blob-store.ts';
import { fileBlobStore } from './file.ts';

/** The kinds of blob store that come with the gateway. */
export const blobStores: readonly BlobStoreDefinition[] = [fileBlobStore];
