"""Collections on disk, the picture reader, manifests, splits, shards and contracts."""
