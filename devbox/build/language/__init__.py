"""The Dockerfile language: from text to checked instructions, and what is probably not meant."""
