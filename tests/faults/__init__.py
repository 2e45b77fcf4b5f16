"""Faults done to the real thing: killed processes, full disks, broken pictures. Nothing may be lost."""
