"""The registry of a task: one registered model, and the alias `champion` on the version that is to be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base.files import read_json, sha256
from restore_ml.promotion.champion_folders import champion_folder
from restore_ml.runs.settings import default_of
from restore_ml.tracking import store
from restore_ml.tracking.descriptions import Task as Words
from restore_ml.tracking.entry import Entry
from restore_ml.tracking.writing import registry_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
PROVISIONAL = "provisional"


def ensure(client: MlflowClient, task: str) -> None:
    """Make the registered model of a task, if there is none yet."""
    name = registry_name(task)
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, tags={"task": task},
                                       description=f"Models for {task.replace('_', ' ')}: pictures in, PNG out.")


def versions(client: MlflowClient, task: str) -> dict[str, Any]:
    """The versions of a task's model by the id of the MLflow run they came from."""
    found = store.every(lambda token: client.search_model_versions(
        f"name = '{registry_name(task)}'", max_results=1000, page_token=token))
    return {str(version.run_id): version for version in found}


def refresh(client: MlflowClient, root: Path, task: str, entries: list[Entry], words: Words) -> list[str]:
    """Point the alias at promote's champion; where there is none, provisionally at the default that the task names, or
    at the best run by the primary metric; and let the model's page say so.

    Returns a sentence for each change. Promote decides, this only reads.
    """
    present = versions(client, task)
    by_fingerprint = {version.tags.get("fingerprint"): version for version in present.values()}
    champion = champion_folder(root, task)
    if champion is not None:
        digest = sha256((champion / "model.json").read_bytes())
        chosen = next((entry for entry in entries if entry.model_sha256 == digest), None)
    else:
        usable, default = [entry for entry in entries if entry.usable], default_of(root, task)
        chosen = next((entry for entry in usable if entry.run == default), None) or best(task, usable)
    name = registry_name(task)
    if chosen is None or chosen.fingerprint not in by_fingerprint:
        _describe(client, name, words.registered_model("", "", "", True))
        return []
    version = by_fingerprint[chosen.fingerprint]
    said = _point(client, name, version, chosen.run, champion is None)
    for other in present.values():
        wanted = "true" if champion is None and other is version else None
        if other.tags.get(PROVISIONAL) != wanted:
            if wanted is None:
                client.delete_model_version_tag(name, other.version, PROVISIONAL)
            else:
                client.set_model_version_tag(name, other.version, PROVISIONAL, wanted)
    if champion is not None:
        text = str(read_json(champion / "decision.json").get("sentence") or "")
        if text and version.tags.get("decision") != text:
            client.set_model_version_tag(name, version.version, "decision", text[:5000])
    same = (other.tags.get("licences", "") for other in (version, *present.values())
            if other.tags.get("model_sha256") == version.tags.get("model_sha256"))
    licences = next((text for text in same if text), "")
    _describe(client, name, words.registered_model(chosen.run, version.version, licences, champion is None))
    return said


def _describe(client: MlflowClient, name: str, text: str) -> None:
    if client.get_registered_model(name).description != text:
        client.update_registered_model(name, text)


def _point(client: MlflowClient, name: str, version: Any, run: str, provisional: bool) -> list[str]:
    model = client.get_registered_model(name)
    pointed = model.aliases.get(CHAMPION)
    if pointed is not None and str(pointed) == str(version.version):
        return []
    client.set_registered_model_alias(name, CHAMPION, version.version)
    if provisional:
        return [f"In MLflow {run} stands for {name} provisionally (version {version.version}): no champion is chosen "
                "yet."]
    return [f"The champion of {name} is {run}, version {version.version} (as promote decided)."]


def best(task: str, entries: list[Entry]) -> Entry | None:
    """The entry that leads by the primary metric on the primary case; names break ties, those without rows stay out."""
    from restore_ml.evaluation.comparison import first_case, named_case
    from restore_ml.tasks.protocol import protocol

    rules = protocol(task)
    cases = {case for entry in entries if "case" in entry.scores for case in entry.scores["case"]}
    if not cases:
        return None
    case = first_case(rules, cases, named_case(entries[0].root, task))
    metric = rules.metric(rules.primary)
    ranked = []
    for entry in entries:
        rows = entry.scores
        if metric.name not in rows:
            continue
        values = rows.loc[(rows["status"] == "ok") & (rows["case"] == case), metric.name].dropna()
        if len(values):
            ranked.append((-metric.direction * float(values.mean()), entry.run, entry))
    return min(ranked, key=lambda item: item[:2])[2] if ranked else None
