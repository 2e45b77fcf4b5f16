"""What video super-resolution is tested on: whole clips, made small as the setting `degradations` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from restore_ml.data.shards import Record
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.video_super_resolution.shrinking import cropped, parse_degradation, shrunk
from restore_ml.tasks.video_super_resolution.task import TASK


class VideoSuperResolutionCases(Cases):
    """One case a degradation; nothing is drawn."""

    task = TASK

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the setting."""
        return list(self.resolve(settings)["degradations"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """All frames of the clip. Facts: `scale`, `frames`."""
        scale, _ = parse_degradation(degradation)
        frames = np.stack([three_channels(frame) for frame in picture.arrays["frames"]])
        return Sample({"lr": shrunk(frames, degradation), "scale": np.array(scale, np.int32)},
                      {"hr": np.ascontiguousarray(cropped(frames, scale))}, {"scale": scale, "frames": len(frames)})


CASES = VideoSuperResolutionCases()
