import type { BlobStoreDefinition } from './blob-store.ts';
import { fileBlobStore } from './file.ts';
import { s3BlobStore } from './s3.ts';

/** The kinds of blob store that come with the gateway. */
export const blobStores: readonly BlobStoreDefinition[] = [fileBlobStore, s3BlobStore];
