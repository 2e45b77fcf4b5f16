"""The protocol that every method follows, and nothing that a single method does.

Five kinds share it: no training (`build` gives no networks), classical fit (`prepare` gives arrays), one network,
several networks trained in turn (`phases` with several players), and optimised on the picture (`per_picture`; `restore`
uses `restore_ml.training.on_picture`). A method says no more than what is its own; the loop in `restore_ml.training`
owns gradients, backward, clipping, precision, EMA, the NaN guard and checkpoints; the harness in
`restore_ml.restoring.loading` owns padding, tiling, composition and dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from restore_ml.base.errors import SettingError, shown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from restore_ml.arrays import Arrays, ArraySpec
    from restore_ml.tasks.base import Material, OptionalInputs

Inputs = dict[str, "Tensor"]
"""A batch: names of the task's arrays -> tensors, as `restore_ml.arrays` says (pictures N x C x H x W in [0, 1])."""
NamedParameters = list[tuple[str, "nn.Parameter"]]
"""Pairs of `<network>.<parameter>` and the parameter. Optimisers of torch take such a list as it is."""


class Context:
    """One training step, shared by its players.

    Attributes: `inputs`, `target` (dicts of tensors on the device), `ids` (picture ids), `networks` (by name, in the
    mode and precision that the loop chose), `slots` (by name, what the runs in the run's slots give), `step` (from 0,
    within the phase), `steps` (of the phase), `generator` (for the step's own draws, on the device; `uniform`,
    `normal` and `integers` draw from it), `state` (the method's tensors that survive a kill, on the device, see
    `Method.extra_state`).

    Draws depend on (seed, run, phase, step) alone. On the processor they are those of `torch.rand(shape,
    generator=context.generator)` and its like; a card draws other numbers from the same seed.
    """

    def __init__(self, inputs: Inputs, target: Inputs, ids: list[str], networks: dict[str, nn.Module], *, step: int,
                 steps: int, generator: torch.Generator,
                 slots: Mapping[str, Any] | None = None, state: dict[str, Tensor] | None = None) -> None:
        self.inputs, self.target, self.ids, self.networks = inputs, target, ids, networks
        self.step, self.steps, self.generator = step, steps, generator
        self.slots = {} if slots is None else slots
        self.state = {} if state is None else state
        self._shared: dict[str, Any] = {}

    def uniform(self, like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers of the step, uniform in [low, high): float32 of the shape and on the device of `like`."""
        import torch

        draws = torch.rand(like.shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * draws).to(like.device)

    def normal(self, like: Tensor, std: float = 1.0) -> Tensor:
        """Numbers of the step from N(0, std^2): float32 of the shape and on the device of `like`."""
        import torch

        return (std * torch.randn(like.shape, generator=self.generator, device=self.generator.device)).to(like.device)

    def integers(self, high: int, shape: Sequence[int]) -> Tensor:
        """Whole numbers of the step, uniform in 0 ... high - 1: int64 of this shape, on the generator's device."""
        import torch

        return torch.randint(high, tuple(shape), generator=self.generator, device=self.generator.device)

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
    `optimiser(named parameters)`: e.g. `lambda p: torch.optim.Adam(p, 1e-4)`; groups are made by name.
    `every`: plays each so many steps. `clip_norm`: largest gradient norm, or None. `clip_value`: a function of the
    current learning rate that gives the largest absolute gradient (VDSR's adjustable clipping), or None.
    `schedule(step, steps)`: factor on the initial learning rate (`restore_ml.training.schedules`).
    `after(context)`: runs after each of its steps, without gradients: clips latent weights, takes a proximal step,
    moves a teacher, writes a memory in `context.state`.
    """

    name: str
    networks: Sequence[str]
    loss: Callable[[Context], dict[str, Tensor]]
    optimiser: Callable[[NamedParameters], torch.optim.Optimizer]
    every: int = 1
    clip_norm: float | None = None
    clip_value: Callable[[float], float] | None = None
    schedule: Callable[[int, int], float] = lambda step, steps: 1.0
    after: Callable[[Context], None] | None = None


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
    arrays: Arrays = field(default_factory=dict)
    slots: Mapping[str, Any] = field(default_factory=dict)
    """By name, what the runs in the slots give: a feature network itself, of other runs their method and model."""
    precision: str = "fp32"
    """The arithmetic of the networks in `restore`: fp32, in which runs are scored, or bf16 (see
    `restore_ml.restoring.arithmetic`)."""


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
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """The settings that take one of a few values, and these: `{"ensemble": (1, 8)}`. Others are refused."""
    zero_allowed: ClassVar[tuple[str, ...]] = ()
    """Whole numbers of `paper` that may be 0, where that leaves something out; the others are at least 1."""
    reading: ClassVar[str] = ""
    """What of the method is our reading because its source says too little; empty when nothing is."""
    stored_networks: ClassVar[tuple[str, ...]] = ()
    """The networks that `restore` uses: these are stored as the model. EMA averages each in the phases that move it; a
    network whose training is over takes its average before the next phase begins."""
    inputs: ClassVar[tuple[str, ...]] = ()
    """The task's optional inputs that this method takes (see `restore_ml.tasks.base.OptionalInputs`)."""
    derived: ClassVar[Mapping[str, ArraySpec]] = {}
    """What `derive` adds to the inputs: by name, as the task's arrays are declared."""
    per_picture: ClassVar[bool] = False
    """Whether `restore` optimises on the picture itself, for at least one of `steps`."""
    restoring_slots: ClassVar[tuple[str, ...]] = ()
    """The slots that `restore`, not only training, uses."""
    serves: ClassVar[tuple[str, ...]] = ()
    """Other tasks whose runs may name this method (`method: super_resolution.bicubic`)."""
    feature_network: ClassVar[bool] = False
    """Whether its runs are feature networks, in whose place a user may put weights of her own (`weights:`)."""
    recognises_faces: ClassVar[bool] = False
    """Whether its runs are recognisers of faces, with `embed`."""
    multiple: int = 1
    """Inputs are padded by reflection to a multiple of this and the output is cropped."""
    tile: int | None = None
    """Side of the largest square restored in one piece; larger pictures are tiled with `overlap`. None: never tiled."""
    overlap: int = 32
    sees_under_mask: bool = False
    """Whether what is seen under a person's mask (a transparent mark) tells something; else the hole is blanked."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Keep the resolved settings (see `restore_ml.runs.settings.resolve`).

        Raises `SettingError` for a value that is not among its `choices`, and for no step `per_picture`.
        """
        self.settings = {**self.paper, **settings}
        for key, values in self.choices.items():
            if self.settings[key] not in values:
                raise self.wrong(key, f"it must be {_alternatives(values)}")
        if self.per_picture and self.settings["steps"] < 1:
            raise self.wrong("steps", "it must be at least 1, as nothing else restores the picture")

    def wrong(self, key: str, reason: str) -> SettingError:
        """The error for the value of a setting: `raise self.wrong("patch", "it must be a multiple of 8")`."""
        name = type(self).__module__.rpartition(".")[2]
        return SettingError(f"{key} of {name} is {shown(self.settings[key])}; {reason}.")

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """What the method makes of a sample before its networks see it (edges, optical flow, one-hot maps): the arrays
        that `derived` declares. Runs in the sampler's workers in training, where the truth is there, and in the harness
        when restoring, where `target` is None."""
        return {}

    def input_specs(self, optional: OptionalInputs | None) -> dict[str, ArraySpec]:
        """What the method gets beside its task's inputs: the optional inputs that it names, and what it derives."""
        return {**{name: optional.inputs[name] for name in self.inputs if optional}, **self.derived}

    def unsupported(self, degradation: str) -> str | None:
        """None, or in a few words why this method cannot do that degradation (`needs a centre hole`)."""
        return None

    def build(self) -> dict[str, nn.Module]:
        """The networks by name, freshly initialised from torch's current generator (the loop seeds it).

        Settings that do not fit together raise `SettingError`, whose text a person sees; any other error is a bug.
        """
        return {}

    def networks(self) -> dict[str, nn.Module]:
        """What `build` makes; a `SettingError` also says whose networks these are and where to change them."""
        try:
            return self.build()
        except SettingError as error:
            raise SettingError(f"The networks of {type(self).__name__} cannot be built with its settings in "
                               f"params.yaml: {error}") from error

    def phases(self) -> list[Phase]:
        """How the networks are trained; empty for methods without gradients."""
        return []

    constants: Arrays = {}  # noqa: RUF012 - replaced on the instance

    def prepare(self, material: Material, seed: int) -> Arrays:
        """Arrays taken from the training split: all that a classical method learns, or constants of a network's
        training (class weights, channel means). Called once, before the phases; stored with the model in
        `Model.arrays`, readable as `self.constants` in training and while restoring. Empty for most methods."""
        return {}

    def finish(self, networks: dict[str, nn.Module], material: Material, seed: int) -> None:
        """Change the networks in `stored_networks` once, in place, after the last phase (a calibration of scales).

        They are in evaluation mode, as `restore` will have them.
        """

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors beyond networks and optimisers that must survive a kill (image pools); the initial values.

        During training they live in `context.state`, on the device, where losses read and replace them.
        """
        return {}

    def store(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """The tensors that are the model on disk, by name: those of `stored_networks`, as `<network>.<name>`.

        A method whose deployed form is another one (signs in one bit, kernels summed into one) overrides this and
        `load`.
        """
        return {f"{name}.{key}": value for name in self.stored_networks
                for key, value in networks[name].state_dict().items()}

    def load(self, networks: Mapping[str, nn.Module], state: Mapping[str, Tensor]) -> None:
        """Fill freshly built networks with what `store` gave. Raises `RuntimeError` when it does not fit them."""
        for name in self.stored_networks:
            start = f"{name}."
            networks[name].load_state_dict({key[len(start):]: value for key, value in state.items()
                                            if key.startswith(start)})

    def footprint(self) -> dict[str, int]:
        """Of a method whose deployed form is another one than it is trained in: what that takes beside the form in
        float, as `restore_ml.evaluation.footprint` has the names. Shown with the run; no result depends on it."""
        return {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Restore a batch of one: the task's output arrays as tensors. Never sees the truth. Runs without gradients
        unless the method enables them; random draws come from `seed`.

        Classical methods define `restore_arrays` instead, and this converts for them.
        """
        import torch

        from restore_ml import registry

        parts, device = registry.parts(self.task), next(iter(inputs.values())).device
        specs = {**parts.task.inputs, **self.input_specs(parts.optional)}
        arrays = {name: specs[name].to_array(value[0]) for name, value in inputs.items()}
        tensors = {}
        for name, value in self.restore_arrays(model, arrays, seed).items():
            rows = parts.task.output[name].kind.rows if name in parts.task.output else None
            tensor = torch.from_numpy(value)
            tensors[name] = (tensor if rows is None else tensor.movedim(-1, rows))[None].to(device)
        return {name: value / 255 if value.dtype == torch.uint8 else value.float() for name, value in tensors.items()}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """Restore one sample on arrays as they are on disk (H x W x C; pictures uint8, masks uint8 of 0 and 1, the rest
        float32): the task's outputs in the same order of axes, pictures as uint8 or as floats in [0, 1]."""
        raise NotImplementedError

    @property
    def trains(self) -> bool:
        """Whether gradients train this method."""
        return bool(self.stored_networks)


def _alternatives(values: Sequence[Any]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last
