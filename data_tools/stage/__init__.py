"""The data stage: sources in, lines and a manifest out, in shards, on as many cores as there are."""
