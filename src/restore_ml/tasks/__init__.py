"""One file per restoration task: its sample, its cases, how it is degraded."""
