"""What is asked for and what is stale: settings, replicates, fingerprints."""
