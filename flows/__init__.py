"""What a person or a schedule starts: command lines and Prefect flows; what these do is in `flows.work`."""
