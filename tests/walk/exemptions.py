"""What the walk lets pass, each with its reason. Whatever is not here must hold for every method of every task."""

WITHOUT_GRADIENT: dict[tuple[str, str], str] = {
    ("facn", r"net\.heads\.(attribute|bias)"): "the walk's faces have no attributes, which alone move these",
    ("mardgan", r"generator\..*\.channel\.1\.weight"):
        "the slope of a PReLU that sees one number a channel of a picture, all of which may be positive",
    ("pen_net", r"discriminator\.8\.bias"):
        "the hinge's margin holds all first scores, and there true and filled pictures move it by as much either way",
    ("gapnet", r"discriminator\.8\.bias"):
        "the hinge's margin holds all first scores, and there true and filled pictures move it by as much either way",
    ("udc_gan", r"critic\.(hidden|score)\.bias"):
        "what lies behind the last ReLU shifts the scores of true and made pictures alike, and their difference counts",
    ("memopainter", r"memory\.linear\.(weight|bias)"):
        "the memory is empty at first, and the walk's pictures are of about the same colours: no key is pushed off",
}
"""(run, regular expression for `network.parameter`): parameters that one step of every phase does not reach."""

MORE_STEPS: dict[str, tuple[int, str]] = {
    "rapid_sr": (12, "each scale has a last layer of its own, and a step draws one scale"),
    "srresnet": (12, "each scale has last layers of its own, and a step draws one scale"),
    "srresnet_bam": (12, "each scale has last layers of its own, and a step draws one scale"),
    "bsrn_bam": (12, "each scale has last layers of its own, and a step draws one scale"),
}
"""Runs that need more than one step of each phase before every parameter had its gradient."""

FIXED_SIZE: dict[str, str] = {}
"""Runs whose network has one size: the odd picture is refused in a sentence, and one of side `patch` is restored."""

ONE_AT_A_TIME: dict[str, str] = {}
"""Runs that restore a batch of one and no larger one (the protocol asks no more)."""

WITHOUT_RUN: dict[tuple[str, str], str] = {}
"""(task, method) without an entry in params.yaml."""
