"""The protocol that every method follows, and nothing that a single method does.

Five kinds share it: no training (`build` gives no networks), classical fit (`fit` gives arrays), one network, several
networks trained in turn (`phases` with several players), and optimised on the picture (`restore` uses
`restore_ml.training.on_picture`). A method says no more than what is its own; the loop in `restore_ml.training` owns
gradients, backward, clipping, precision, EMA, the NaN guard and checkpoints; the harness in `restore_ml.restoration`
owns padding, tiling, composition and dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from restore_ml.errors import UserError
from restore_ml.files import scarce

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from restore_ml.tasks.base import Material

Inputs = dict[str, "Tensor"]
"""A batch: names of the task's arrays -> tensors. Pictures N x C x H x W float32 in [0, 1] (see ArraySpec.kind)."""


class Context:
    """One training step, shared by its players.

    Attributes: `inputs`, `target` (dicts of tensors on the device), `ids` (picture ids), `networks` (by name, in the
    mode and precision that the loop chose), `slots` (by name, what the runs in the run's slots give), `step`
    (from 0, within the phase), `steps` (of the phase), `generator` (a torch.Generator for the step's own draws),
    `state` (the method's tensors that survive a kill, see `Method.extra_state`).
    """

    def __init__(self, inputs: Inputs, target: Inputs, ids: list[str], networks: dict[str, nn.Module], *, step: int,
                 steps: int, generator: torch.Generator,
                 slots: Mapping[str, Any] | None = None, state: dict[str, Tensor] | None = None) -> None:
        self.inputs, self.target, self.ids, self.networks = inputs, target, ids, networks
        self.step, self.steps, self.generator = step, steps, generator
        self.slots = {} if slots is None else slots
        self.state = {} if state is None else state
        self._shared: dict[str, Any] = {}

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of `compute()`, computed once a step: a forward pass that several players share."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]


@dataclass
class Player:
    """One optimiser and its objective.

    `networks`: the names whose parameters it moves; the others' parameters get no gradient while it plays.
    `loss(context)`: named scalar terms, already weighted; their sum is minimised.
    `optimiser(parameters)`: e.g. `lambda p: torch.optim.Adam(p, 1e-4)`.
    `every`: plays each so many steps. `clip_norm`: largest gradient norm, or None. `clip_value`: a function of the
    current learning rate that gives the largest absolute gradient (VDSR's adjustable clipping), or None.
    `schedule(step, steps)`: factor on the initial learning rate.
    """

    name: str
    networks: Sequence[str]
    loss: Callable[[Context], dict[str, Tensor]]
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    every: int = 1
    clip_norm: float | None = None
    clip_value: Callable[[float], float] | None = None
    schedule: Callable[[int, int], float] = lambda step, steps: 1.0


@dataclass
class Phase:
    """A stretch of training: its players in the order in which they play each step.

    `frozen_norm`: names of networks whose normalisation layers stay in evaluation mode (fine-tuning with frozen BN).
    """

    name: str
    steps: int
    players: Sequence[Player]
    frozen_norm: Sequence[str] = field(default_factory=tuple)


@dataclass
class Model:
    """What `restore` works with: networks in evaluation mode, fitted arrays, and what fills the run's slots."""

    networks: dict[str, nn.Module] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    slots: Mapping[str, Any] = field(default_factory=dict)
    """By name, what the runs in the slots give: a feature network itself, of other runs their method and model."""
    precision: str = "fp32"
    """The arithmetic of the networks in `restore`: fp32, in which runs are scored, or bf16 (`restore_ml.inference`)."""


class Method:
    """Subclass it in methods/<task>/<name>.py, set `METHOD = MyMethod` there, and say what is the method's own.

    `settings` are the paper's recipe in `paper`, overridden by the run's entry in params.yaml.
    The settings `steps` (an int, or a dict by phase), `batch`, `patch` (side of the training crop) and `ema` (decay, 0
    for none) are common to all that train with gradients.
    """

    task: str
    """The task that it was written for; on an instance, the task of the run."""
    paper: ClassVar[dict[str, Any]]
    """The published recipe: every setting that the method knows, with the paper's value. Unknown keys are refused."""
    may_be_zero: ClassVar[tuple[str, ...]] = ()
    """Whole numbers of `paper` that may be 0, where that leaves something out; the others are at least 1."""
    reading: ClassVar[str] = ""
    """What of the method is our reading because its source says too little; empty when nothing is."""
    restores_with: ClassVar[tuple[str, ...]] = ()
    """The networks that `restore` uses: these are stored as the model (and averaged by EMA)."""
    restoring_slots: ClassVar[tuple[str, ...]] = ()
    """The slots that `restore`, not only training, uses."""
    serves: ClassVar[tuple[str, ...]] = ()
    """Other tasks whose runs may name this method (`method: super_resolution.bicubic`)."""
    feature_network: ClassVar[bool] = False
    """Whether its runs are feature networks, in whose place a user may put weights of her own (`weights:`)."""
    multiple: int = 1
    """Inputs are padded by reflection to a multiple of this and the output is cropped."""
    tile: int | None = None
    """Side of the largest square restored in one piece; larger pictures are tiled with `overlap`. None: never tiled."""
    overlap: int = 32
    looks_under_mask: bool = False
    """Whether what is seen under a person's mask (a transparent mark) tells something; else the hole is blanked."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Keep the resolved settings (see `restore_ml.settings.resolve`)."""
        self.settings = {**self.paper, **settings}

    def unsupported(self, degradation: str) -> str | None:
        """None, or in a few words why this method cannot do that degradation (`needs a centre hole`)."""
        return None

    def build(self) -> dict[str, nn.Module]:
        """The networks by name, freshly initialised from torch's current generator (the loop seeds it)."""
        return {}

    def networks(self) -> dict[str, nn.Module]:
        """What `build` makes; settings that do not fit together are a `UserError`."""
        try:
            return self.build()
        except (ValueError, RuntimeError) as error:
            if scarce(error):
                raise
            raise UserError(f"The networks of {type(self).__name__} cannot be built with its settings in params.yaml: "
                            f"{' '.join(str(error).split())}") from error

    def phases(self) -> list[Phase]:
        """How the networks are trained; empty for methods without gradients."""
        return []

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """Constants taken from the training split before the phases (class weights, channel means), stored with the
        model in `Model.arrays` and readable in losses as `self.constants`. Called once; empty for most methods."""
        return {}

    constants: dict[str, np.ndarray] = {}  # noqa: RUF012 - replaced on the instance by the loop

    def fit(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """Classical methods: arrays fitted on the training split, stored and loaded like weights."""
        return {}

    def finish(self, networks: dict[str, nn.Module], material: Material, seed: int) -> None:
        """Change the networks in `restores_with` once, in place, after the last phase (a calibration of scales)."""

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond networks and optimisers that must survive a kill (image pools); the initial values.

        During training they live in `context.state`, where losses read and replace them.
        """
        return {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Restore a batch of one: the task's output arrays as tensors. Never sees the truth. Runs without gradients
        unless the method enables them; random draws come from `seed`."""
        raise NotImplementedError

    @property
    def trains(self) -> bool:
        """Whether gradients train this method."""
        return bool(self.restores_with)
