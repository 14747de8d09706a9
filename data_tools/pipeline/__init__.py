"""Run a build: cut sources into shards, filter records, find documents, split, write."""
