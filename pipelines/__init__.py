"""One module per DVC stage, and what they share: steps, the link to Prefect, its server, and the fork server."""
