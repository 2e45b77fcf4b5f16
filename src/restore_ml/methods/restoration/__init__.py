"""Methods of the task restoration, one file each."""
