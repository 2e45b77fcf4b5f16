"""Deep image prior: an untrained network is fitted to the known pixels of one picture (Ulyanov et al., CVPR 2018).

The template for a method that is optimised on the picture: nothing is trained before, and all is done in `restore`.
"""

from typing import Any, ClassVar

import torch

from restore_ml.losses.reconstruction import masked_mse
from restore_ml.method import Method
from restore_ml.nn.hourglass import Hourglass
from restore_ml.seeds import derive
from restore_ml.training.on_picture import RunningMean, optimise


class DeepImagePrior(Method):
    """The hourglass of the paper, shown a fixed draw of noise, with squared error on the known pixels.

    reading: the average of the outputs over the steps is what is given.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {"steps": 3000, "lr": 0.01, "widths": [16, 32, 64, 128, 128, 128], "skip": 4,
                                       "channels": 32, "jitter": 0.03, "average": 0.99}
    reading = "average of the outputs"

    def __init__(self, settings):
        """The input is padded so that every level halves it evenly."""
        super().__init__(settings)
        self.multiple = 2 ** len(self.settings["widths"])

    def restore(self, model, inputs, seed):
        """Fit a fresh network, every draw from `seed`; the task puts the known pixels back."""
        s, image, known = self.settings, inputs["image"], 1 - inputs["mask"]
        draws = torch.Generator().manual_seed(derive(seed, "noise"))
        noise = 0.1 * torch.rand(1, s["channels"], *image.shape[-2:], generator=draws).to(image.device)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(derive(seed, "init"))
            network = Hourglass(s["channels"], s["widths"], s["skip"]).to(image.device)
        average, jitter = RunningMean(s["average"]), torch.Generator().manual_seed(derive(seed, "jitter"))

        def loss(step):
            shaken = noise + s["jitter"] * torch.randn(noise.shape, generator=jitter).to(noise.device)
            output = network(shaken)
            average.add(output)
            return masked_mse(output, image, known)

        optimise(list(network.parameters()), loss, lambda p: torch.optim.Adam(p, s["lr"]), s["steps"])
        return {"image": average.value}


METHOD = DeepImagePrior
