"""Face super-resolution: PSNR and SSIM on luma, PSNR on RGB, IFC, and how many restored faces are still recognised.

reading: figures are of the whole face without a border, which would take half of a face of 64 pixels away; the face
papers name none. Published tables have PSNR, SSIM and IFC, without a word whether on luma or RGB, so both PSNRs stand.
A face of less than 96 pixels has no room for the 4 levels of IFC's pyramid; its figure is that of the 3 finest ones and
has its own name, `ifc_freq3`. FSIM, in its luma form, costs more than all others together and is measured on the
primary case alone.

`rank1_id` (section 1.5 of the cards: closed-set identification at rank 1) is a figure of a whole test set. Gallery: the
true picture of each person, the first one by its name. Probes: the restored pictures of all others of these persons. A
probe is right when the gallery's picture nearest to it by cosine, as the recogniser embeds both, is of its own person.
The recogniser was trained on other persons, on true pictures alone; with several members the share is averaged over
them. `rank1_id_hr` is the same with true pictures as probes: what can be reached at most, in expectation. By dlib's
network (`recogniser: resnet29` in params.yaml) they are called `rank1_id_resnet29` and `rank1_id_hr_resnet29`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.fidelity import luma, psnr, ssim
from restore_ml.metrics.fsim import fsim, grey
from restore_ml.metrics.ifc import ifc_freq, least_side
from restore_ml.tasks.base import Sample
from restore_ml.tasks.face_super_resolution.task import SCALE, made_small
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow, Sweep, capped


class FaceSuperResolution(Protocol):
    """The drawn faces rank: of them the attributes are known. The real ones stand beside them."""

    task = "face_super_resolution"
    metrics = (Metric("psnr_y", 1, 2, "dB"), Metric("ssim_y", 1, 4), Metric("psnr_rgb", 1, 2, "dB"),
               Metric("ifc_freq", 1, 4), Metric("ifc_freq3", 1, 4), Metric("fsim", 1, 4))
    set_metrics = (Metric("rank1_id", 1, 4), Metric("rank1_id_hr", 0, 4), Metric("rank1_id_resnet29", 1, 4),
                   Metric("rank1_id_hr_resnet29", 0, 4))
    primary = "psnr_y"
    primary_set = "faces_drawn"
    primary_degradation = "8_to_64"
    perceptual = True
    baselines = ("super_resolution.bicubic",)
    guards = (Guard("ssim_y", margin=0.005),)
    sweep = Sweep("noise", "noise on the small face, standard deviation in grey levels", (5, 10, 15, 20, 25, 30))
    minimum_gain = 0.05
    reading = ("rank1_id is the share of restored faces whose nearest true picture of the gallery, as a recogniser "
               "sees it, is of the same person: the mean over the recogniser's members. Its upper line is rank1_id_hr, "
               "for which true pictures stand in the place of the restored ones; its lower line is the row of bicubic.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """PSNR and SSIM on Y, PSNR on RGB, of 8-bit pictures; IFC on Y, by as many levels as the face has room for."""
        sr, hr = output["sr"], target["hr"]
        y, y_truth = luma(sr), luma(hr)
        return {"psnr_y": capped(psnr(y, y_truth)), "ssim_y": ssim(y, y_truth), "psnr_rgb": capped(psnr(sr, hr)),
                **_information(y_truth, y)}

    def measure_on_primary(self, inputs: Arrays, output: Arrays, target: Arrays) -> dict[str, float]:
        """FSIM on full-swing luma."""
        return {"fsim": fsim(grey(output["sr"]), grey(target["hr"]))}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """`rank1_id` and `rank1_id_hr`, see the module's docstring. Nothing without a recogniser, with fewer than two
        persons, or where nobody has two pictures.

        `judge`: method and model of a recogniser (`restore_ml.methods.face_identity.recogniser`), or dlib's network
        (`restore_ml.nn.face_recogniser`), whose figures carry its name.
        """
        if judge is None:
            return {}
        method, model = judge
        persons: dict[str, list[SetRow]] = defaultdict(list)
        for row in rows:
            persons[str(row.record.facts.get("group") or row.record.id)].append(row)
        gallery, probes, owners = [], [], []
        for number, own in enumerate(persons.values()):
            first, *others = sorted(own, key=lambda row: _name(row.record.facts.get("name", row.record.id)))
            gallery.append(first.target["hr"])
            probes += others
            owners += [number] * len(others)
        if len(gallery) < 2 or not probes:
            return {}
        known, source = method.embed(model, gallery), str(getattr(method, "source", "")).partition("-")[0]
        return {f"{name}_{source}" if source else name: rank1(known, method.embed(model, pictures), np.array(owners))
                for name, pictures in (("rank1_id", [row.output["sr"] for row in probes]),
                                       ("rank1_id_hr", [row.target["hr"] for row in probes]))}

    def swept(self, target: Arrays, strength: int, rng: np.random.Generator) -> tuple[str, Sample]:
        """The face made small by bicubic, with noise of so many grey levels: what the degradation `_noise` is at its
        one strength."""
        hr = target["hr"]
        lr = made_small(hr, "noise", {"noise_sigma": float(strength)}, rng)
        return (f"{len(hr) // SCALE}_to_{len(hr)}_noise",
                Sample({"lr": lr, "scale": np.array(SCALE, np.int32)}, dict(target)))

    def canary(self) -> Canary:
        """See `Canary`.

        reading: a network of faces has seen nothing but faces, so the pictures that are none are asked for little:
        about their mean colour, values in range, nothing constant.
        """
        return Canary("sr", "hr", 0.0, 255.0, shift=64.0, floor=80.0)

    def trivial(self, sample: Sample) -> np.ndarray:
        """Bicubic."""
        return imresize(sample.inputs["lr"], output_size=sample.target["hr"].shape[:2])

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The small face enlarged by repeating pixels, so that all have the truth's size."""
        scale = int(inputs["scale"])
        enlarged = np.repeat(np.repeat(inputs["lr"], scale, axis=0), scale, axis=1)
        pictures = {"input": enlarged, "truth": target["hr"]}
        return pictures if output is None else {**pictures, "output": output["sr"]}


def rank1(gallery: np.ndarray, probes: np.ndarray, owners: np.ndarray) -> float:
    """The share of probes whose nearest picture of the gallery by cosine is that of their owner, averaged over members.

    `gallery` (members x persons x D) and `probes` (members x N x D): unit vectors; `owners` (N): the person of each.
    Of equally near pictures the first one counts.
    """
    nearest = np.einsum("mnd,mpd->mnp", probes.astype(np.float64), gallery.astype(np.float64)).argmax(axis=2)
    return float((nearest == owners).mean())


def _information(truth: np.ndarray, restored: np.ndarray) -> dict[str, float]:
    """`ifc_freq` of faces of 96 pixels and more, `ifc_freq3` of smaller ones; nothing below 48 pixels."""
    for name, levels in (("ifc_freq", 4), ("ifc_freq3", 3)):
        if min(truth.shape) >= least_side(levels):
            return {name: ifc_freq(truth, restored, levels)}
    return {}


def _name(name: str) -> tuple[int, str]:
    """In whose order `s4/2` stands before `s4/10`."""
    return len(name), name


PROTOCOL = FaceSuperResolution()
