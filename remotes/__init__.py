"""Real servers on a developer's own machine, without containers: an ssh remote, an S3 remote, PostgreSQL."""
