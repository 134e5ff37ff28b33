"""Where bytes live: the image store, its writer, folders and buckets. It knows digests, not conversations."""
