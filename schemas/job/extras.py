"""Extras of hardset that a job asks for, by what it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardset.schemas.base import Spec
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.places import places

EXTRAS: Mapping[str, str] = {
    "s3": "s3:// URLs",
    "gcs": "gs:// URLs",
    "azure": "abfs:// and az:// URLs",
    "hf": "hf:// URLs, the Hugging Face Hub",
    "huggingface": "models from folders of Hugging Face",
    "timm": "models that timm knows by name",
    "torchvision": "models that torchvision knows by name",
    "keras": "models from Keras files",
    "onnx": "models from ONNX files",
    "train": "training by several workers",
    "lineage": "OpenLineage events",
    "mlflow": "hardset report --track mlflow",
    "iceberg": "hardset publish --iceberg, and Iceberg tables as sources",
    "delta": "hardset publish --delta, and Delta tables as sources",
    "inspect": "hardset show, diff, and SQL over rows",
    "sign": "hardset sign",
    "evaluate": "hardset evaluate",
    "readers": "what the examples read datasets with",
}
"""What each is for."""
_OF_SCHEME = {
    **{"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf"},
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "azure"),
}
_FORMATS = ("huggingface", "timm", "torchvision", "keras", "onnx", "delta", "iceberg")
"""Formats of models and sources that need the extra of their name."""


def needed_extras(job: Spec) -> dict[str, str]:
    """Key paths of a job, by the extra that each needs; the first where several need one."""
    document = job.model_dump(mode="json")
    found: dict[str, str] = {}
    for key, place in places(document):
        for link in place.split("::"):
            if extra := _OF_SCHEME.get(link.partition("://")[0] if "://" in link else ""):
                found.setdefault(extra, key)
    for key, kind in _formats(document):
        if kind in _FORMATS:
            found.setdefault(kind, key)
    train = document.get("train")
    if isinstance(train, dict) and (train.get("workers") or 1) > 1:
        found.setdefault("train", "train.workers")
    if isinstance(job, EvaluationJob):
        found.setdefault("evaluate", "threats")
    return found


def _formats(node: Any, path: str = "") -> list[tuple[str, str]]:
    """Key path and value of every `format`."""
    if isinstance(node, list):
        return [one for number, item in enumerate(node) for one in _formats(item, f"{path}{number}.")]
    if not isinstance(node, dict):
        return []
    here = [(f"{path}format", node["format"])] if isinstance(node.get("format"), str) else []
    return here + [one for key, item in node.items() if key != "arguments" for one in _formats(item, f"{path}{key}.")]
