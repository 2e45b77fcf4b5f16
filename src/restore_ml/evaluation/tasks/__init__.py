"""One protocol per restoration task: its metrics, guards and pictures."""
