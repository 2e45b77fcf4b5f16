"""The promotion rule: a pure function of tracked files that says whether the champion of a task moves, and why.

The first champion is the best run by the task's metric on its primary case among those whose guards hold; baselines
compete. Later a challenger replaces the champion only when the whole paired bootstrap interval of its gain on the same
pictures lies above zero, its mean gain reaches the task's minimum, its guards hold against the champion and it restores
the canary pictures sanely. Challengers are asked from the best mean down, and the first that passes everything wins.
Because several are asked, each one's interval has the confidence 1 - (1 - c) / m for m challengers (Bonferroni), so
that noise moves the champion no more often than a single comparison at confidence c would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.evaluation.comparison import first_case, model_facts
from restore_ml.evaluation.words import of_groups
from restore_ml.promotion import challengers, guards
from restore_ml.promotion.challengers import Challenger, number
from restore_ml.promotion.rule import Rule, resolve
from restore_ml.registry import nearest
from restore_ml.runs.settings import PROFILES
from restore_ml.tasks.protocol import Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas

Probe = Callable[[str, Rule], dict[str, Any]]
"""probe(run, rule): {"canaries": {"sane", "sentence", "pictures"} or None, "latency": {"ms_per_megapixel", "machine"}
or None}; asked only of a challenger that passes everything else."""


@dataclass(frozen=True)
class Decision:
    """Whether the champion of `task` moves to `run`, the `sentence` that says so, and what it rests on.

    `asked`: whether there was anything to decide (False: quick profile, too few pictures, no rows). `run`: the
    challenger that won, or else came nearest; `install`: the run of its team whose weights are (or would be) installed.
    `champion`: the run that held the place, empty for the first. `gain`: {mean, low, high, confidence, photographs} of
    the paired difference of `metric`, positive better, against `compared_with` (the champion; a baseline for the first
    one); None where there is nothing to compare with. `pictures`: per picture {picture, name, challenger, champion,
    difference}; `wins` and `losses` count them. `where`: who wins on which case. `guards`: name, value, reference and
    margin or limits of each. `considered`: every challenger with its gain and what became of it. `refused`: run ->
    sentence, the runs that could not be compared or broke a guard. `noise`: an upper bound on the chance that noise
    alone promotes, from the confidence and from the number of photographs (with g of them no resampling of photographs
    can err less often than once in 2^g a challenger).
    """

    task: str
    promoted: bool
    run: str
    champion: str
    sentence: str
    asked: bool = True
    install: str = ""
    members: list[str] = field(default_factory=list)
    case: str = ""
    metric: str = ""
    value: float | None = None
    gain: dict[str, Any] | None = None
    compared_with: str = ""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    wins: int = 0
    losses: int = 0
    where: list[dict[str, Any]] = field(default_factory=list)
    guards: list[dict[str, Any]] = field(default_factory=list)
    canaries: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    considered: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    noise: float | None = None
    rule: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values (no NaN)."""
        return asdict(self)


def decide(task: str, scores: pandas.DataFrame, models: Path, champion: dict[str, Any] | None,
           settings: dict[str, Any], *, profile: str, replicates: Mapping[str, Sequence[str]] | None = None,
           seeds: Mapping[str, int] | None = None, probe: Probe | None = None) -> Decision:
    """Whether a run becomes champion of the task.

    `scores`: the task's score rows, in any order; `models`: the folder models/<task>; `champion`: None, or `run`,
    `model_sha256`, `weights_sha256` and, where its stored weights were scored again, `scored_as`, the run under which
    those rows stand in `scores`; `settings`: `promotion:` of params.yaml; `profile`: the active one; `replicates` and
    `seeds`: see `challengers.gather`; `probe`: canaries and latency (None: neither is looked at). `UserError` for
    settings that cannot be; every other refusal is a decision with `promoted` False and a sentence.
    """
    if profile not in PROFILES:
        raise UserError(f"The profile {profile!r} is none of {', '.join(PROFILES)}.{nearest(profile, PROFILES)}")
    question = _Question(task, scores, models, champion, resolve(task, settings), probe)
    obstacle = question.obstacle(profile)
    if obstacle:
        return question.no(obstacle, asked=False)
    stale = question.stale()
    if stale:
        return question.no(stale)
    return question.answer(replicates or {}, seeds or {})


class _Question:
    """One task's question, with what has been found out so far in `facts` (fields of the decision)."""

    def __init__(self, task: str, scores: pandas.DataFrame, models: Path, champion: dict[str, Any] | None, rule: Rule,
                 probe: Probe | None) -> None:
        self.rules: Protocol = with_distances(protocol(task), scores.columns)
        self.task, self.models, self.champion, self.rule, self.probe = task, models, champion, rule, probe
        self.scores = scores.sort_values(["run", "case", "picture"], ignore_index=True)
        self.held = "" if champion is None else str(champion["run"])
        self.rival = "" if champion is None else str(champion.get("scored_as") or self.held)
        self.direction = self.rules.metric(rule.metric).direction
        self.facts: dict[str, Any] = {"task": task, "champion": self.held, "rule": asdict(rule), "metric": rule.metric}
        self.rows = self.scores
        if len(scores):
            case = first_case(self.rules, scores["case"], self.rule.primary_case)
            self.rows = self.scores[self.scores["case"] == case]
            self.facts |= {"case": case, "synthetic": bool(self.rows["synthetic"].any())}

    def no(self, sentence: str, *, asked: bool = True) -> Decision:
        """The champion, if there is one, stays."""
        return Decision(**{"run": "", **self.facts, "promoted": False, "asked": asked, "sentence": sentence})

    def obstacle(self, profile: str) -> str:
        """Why nothing at all can be decided, or an empty text."""
        if self.scores.empty:
            return f"{self.task} has no score rows; nothing can be promoted."
        if self.rule.default:
            return (f"No metric chooses the champion of {self.task}: people get its default, {self.rule.default}, "
                    f"until graph/{self.task}/runs.yaml names another.")
        pictures = int(self.rows["picture"].nunique())
        if profile == "quick":
            return "The profile quick trains too little to choose a champion; rebuild with cpu, gpu or paper."
        if pictures < self.rule.min_pictures:
            return (f"{self.task} {self.facts['case']} has {pictures} test pictures; promoting needs at least "
                    f"{self.rule.min_pictures}.")
        return ""

    def stale(self) -> str:
        """Why the champion cannot be compared with on these rows, or an empty text."""
        if self.champion is None:
            return ""
        own = self.rows[self.rows["run"] == self.rival]
        if own.empty:
            return (f"The champion {self.held} has no score rows on these pictures; `dvc repro` restores and scores "
                    "its stored weights.")
        stored = str(self.champion.get("weights_sha256") or "")
        if not self.champion.get("scored_as") and stored and stored != model_facts(self.models,
                                                                                  self.held)["weights_sha256"]:
            return (f"The champion {self.held} was trained anew since: its rows are not the champion's. `dvc repro` "
                    "restores and scores its stored weights.")
        bad = own[own["status"] != "ok"]
        if len(bad):
            return (f"The champion {self.held} was not scored on all pictures ({bad['reason'].iloc[0]}); nothing is "
                    "compared.")
        return ""

    def answer(self, replicates: Mapping[str, Sequence[str]], seeds: Mapping[str, int]) -> Decision:
        """Ask the challengers from the best down."""
        runs = [str(run) for run in self.rows["run"].unique()]
        digest = str((self.champion or {}).get("model_sha256") or "")
        skipped = [*challengers.same_model(self.models, digest, runs), *([self.rival] if self.rival else [])]
        candidates, refused = challengers.gather(self.rows, self.models, self.rule.metric, self.direction,
                                                 skipped=skipped, replicates=replicates, wanted=seeds)
        self.facts["refused"] = refused
        if not candidates:
            return self.no(self._nobody(refused))
        reference = self._reference()
        verdicts = []
        for one in candidates:
            evidence = self._evidence(one, reference, len(candidates))
            reason = self._reason(one, evidence, reference)
            evidence["considered"] = {"run": one.run, "members": list(one.members), "value": number(one.mean),
                                   "gain": evidence["gain"], "verdict": reason or "passes"}
            verdicts.append((one, evidence, reason))
            if not reason:
                break
        chosen, evidence, reason = verdicts[-1] if not verdicts[-1][2] else verdicts[0]
        self.facts |= {**evidence, "considered": [entry["considered"] for _, entry, _ in verdicts]}
        if reason:
            return self.no(f"{self.held} stays: {self._asked(chosen)} {reason}." if self.held
                           else self._nobody(refused))
        return Decision(promoted=True, sentence=self._won(chosen, candidates), **self.facts)

    def _nobody(self, refused: dict[str, str]) -> str:
        if self.held:
            why = f" ({'; '.join(f'{run}: {reason}' for run, reason in sorted(refused.items()))})" if refused else ""
            return f"{self.held} stays champion of {self.task}: no other run could be compared with it{why}."
        return f"No run of {self.task} can be champion: every one failed or broke a guard."

    def _asked(self, one: Challenger) -> str:
        """The challenger's name; weights of the champion's own run are told apart from the champion's."""
        if one.run != self.held:
            return one.run
        return f"{one.run} trained anew ({model_facts(self.models, one.install)['weights_sha256'][:8]})"

    def _reference(self) -> str:
        """What is compared with: the champion's rows, or the first baseline that is there."""
        if self.rival:
            return self.rival
        for method in self.rules.baselines:
            for run in sorted(self.rows["run"].unique()):
                own = self.rows[self.rows["run"] == run]
                if model_facts(self.models, str(run))["method"] == method and (own["status"] == "ok").all():
                    return str(run)
        return ""

    def _evidence(self, one: Challenger, reference: str, asked: int) -> dict[str, Any]:
        """The gain over the reference on the same pictures, the pictures' own values, and the guards."""
        evidence: dict[str, Any] = {
            "run": one.run, "install": one.install, "members": list(one.members), "value": number(one.mean),
            "weights_sha256": model_facts(self.models, one.install)["weights_sha256"], "gain": None}
        theirs = self.rows[self.rows["run"] == reference].set_index("picture").reindex(one.rows.index)
        compared = reference if reference not in one.members else ""
        checks = guards.metric_checks(self.rules, self.rule, one.rows, theirs if compared else None, reference)
        evidence["guards"] = [check.as_json() for check in (*checks, *guards.size_checks(self.rule, self.models,
                                                                                      one.install))]
        if not compared:
            return evidence
        b = theirs[self.rule.metric].to_numpy(np.float64)
        groups = [str(group) for group in one.rows["group"]]
        confidence = 1 - (1 - self.rule.confidence) / (asked if self.held else 1)
        estimate = challengers.gain(one.values, b, groups, self.direction, confidence)
        tail = max((1 - self.rule.confidence) / 2, asked * 0.5**estimate.groups if estimate.groups else 1.0)
        evidence |= {"gain": {"mean": number(estimate.mean), "low": number(estimate.low), "high": number(estimate.high),
                           "confidence": round(confidence, 9), "photographs": estimate.groups},
                  "compared_with": compared, "noise": round(min(1.0, tail), 9),
                  "wins": int(np.sum(self.direction * (one.values - b) > 0)),
                  "losses": int(np.sum(self.direction * (one.values - b) < 0)),
                  "pictures": [{"picture": str(picture), "name": str(name), "challenger": number(x),
                                "champion": number(y), "difference": number(self.direction * (x - y))}
                               for picture, name, x, y in zip(one.rows.index, one.rows["name"], one.values, b,
                                                              strict=True)],
                  "where": challengers.where(self.scores, one.install, compared, self.rule.metric, self.direction,
                                             self.rule.confidence)}
        return evidence

    def _reason(self, one: Challenger, evidence: dict[str, Any], reference: str) -> str:
        """Why this challenger does not win, in words that follow its name, or an empty text."""
        if self.held:
            reason = self._short_of(evidence)
            if reason:
                return reason
        broken = [check["sentence"] for check in evidence["guards"] if not check["holds"]]
        if broken:
            self.facts["refused"][one.run] = "; ".join(broken)
            return f"breaks a guard: {'; '.join(broken)}"
        if self.probe is None:
            return ""
        probed = self.probe(one.install, self.rule)
        evidence |= {"canaries": probed.get("canaries"), "latency": probed.get("latency")}
        rate = (evidence["latency"] or {}).get("ms_per_megapixel")
        speed = guards.limit("ms_per_megapixel", math.nan if rate is None else float(rate),
                             self.rule.max_ms_per_megapixel)
        evidence["guards"].append(speed.as_json())
        canaries = evidence["canaries"]
        reason = "" if canaries is None or canaries["sane"] else str(canaries["sentence"])
        if not speed.holds:
            reason = f"breaks a guard: {speed.sentence}"
        if reason:
            self.facts["refused"][one.run] = reason
        return reason

    def _short_of(self, evidence: dict[str, Any]) -> str:
        """Why the gain is not proven, or an empty text."""
        gain = evidence["gain"]
        if gain is None or gain["mean"] is None:
            return f"cannot be compared: no picture has {self.rule.metric} of both"
        text = self._text(evidence)
        if gain["photographs"] < self.rule.min_photographs:
            count = gain["photographs"]
            few = f"{of_groups(self.task, count)}, which {'says nothing' if count == 1 else 'say too little'}"
            return (f"is not proven better: the pictures come from {few} of others, at least "
                    f"{self.rule.min_photographs} are needed ({text})")
        if gain["low"] is None or gain["low"] <= 0:
            return f"does not win beyond the interval ({text})"
        if gain["mean"] < self.rule.minimum_gain:
            return f"gains less than {self.rule.minimum_gain:g} ({text})"
        return ""

    def _text(self, evidence: dict[str, Any]) -> str:
        gain = evidence["gain"]
        interval = "" if gain["low"] is None else (f" [{gain['low']:+.4g}, {gain['high']:+.4g}] at "
                                                   f"{100 * gain['confidence']:.4g} %")
        return (f"{self.rule.metric} {gain['mean']:+.4g}{interval}, better on {evidence['wins']} and worse on "
                f"{evidence['losses']} of {len(evidence['pictures'])} pictures")

    def _won(self, one: Challenger, candidates: list[Challenger]) -> str:
        if self.held:
            return f"{self._asked(one)} replaces {self.held}: {self._text(self.facts)}."
        return (f"{one.run} becomes the first champion of {self.task}: {self.rule.metric} {one.mean:.4g} on "
                f"{self.facts['case']}, the best of {len(candidates)} runs that can be compared and whose guards hold.")
