"""What the stages share: steps, the link to Prefect and its server, the fork server, workers of parallel rebuilds."""
