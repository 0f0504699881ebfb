"""Images: references, blobs, layers, tags, archives and garbage collection."""
