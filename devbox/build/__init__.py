"""From a Dockerfile and a context to an image: the language, the graph of steps, the cache, the builder."""
