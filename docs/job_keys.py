"""The keys of a job file, section by section, each with an example that a job takes: the tables of docs/job.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from pydantic import BaseModel

from hardset.pipeline.evaluation.reference import default_cell
from hardset.schemas.job.gan_training import GanTraining
from hardset.schemas.job.hardening import Harden, HardeningBudget, HeldOutShare
from hardset.schemas.job.job import Job, Model, Output, Run
from hardset.schemas.job.recipes import Admit, Augment, GeneratorFile, Sample
from hardset.schemas.job.training import Mix, Train
from hardset.schemas.job.worst_of import WorstOf
from hardset.schemas.reading.settings import meaning_of, taken_by


@dataclass(frozen=True)
class Section:
    """Keys that stand at one place of a job file."""

    title: str
    kind: type[BaseModel]
    examples: str
    """YAML with one line for every key."""
    beside: str = "{}"
    """YAML of the keys that must be there for any of the examples to be taken."""
    leaves: Mapping[str, str] | None = None
    """YAML by key of what must be there for its example alone."""

    def taken(self, key: str) -> BaseModel:
        """The section as read with the example of one key. Raises pydantic's ValidationError where it is not taken."""
        more = yaml.safe_load((self.leaves or {}).get(key, "{}"))
        example = {key: yaml.safe_load(self.examples)[key]}
        return self.kind.model_validate(yaml.safe_load(self.beside) | more | example)


_PROGRAM = "{weights: net.pt, format: torchscript, sha256: " + "a" * 64 + ", trust: true}"
_FOREIGN = "{weights: g.pt, format: factory, factory: 'acme.gans:build', latent: 128}"
SECTIONS = (
    Section(
        "The job",
        Job,
        """
name: photos-nightly
seed: 7
logical_date: 2026-11-28
source: {format: imagefolder, path: photos/, size: 224}
model: {factory: "my_models:resnet18", weights: resnet18.pt, classes: 12}
transfer_to: [{name: rival, factory: "my_models:vgg11", weights: vgg11.pt}]
recipes: [{kind: attack, name: pgd, eps: 4/255}]
output: {path: "s3://bucket/photos-{date}/"}
run: {actors: 8, gpus_per_actor: 1}
train: {method: shards, epochs: 4}
harden: {rounds: 8}
""",
        beside="""
name: x
source: {format: digits}
model: {factory: "hardset.pipeline.models.zoo:small_cnn", classes: 10}
recipes: [{kind: attack, name: fgsm, eps: 8/255}]
output: {path: out}
""",
        leaves={"output": "{logical_date: 2026-11-28}"},
    ),
    Section(
        "`model`, and each of `transfer_to`, which has a `name` instead of the last three",
        Model,
        """
factory: my_models:resnet18
arguments: {num_classes: 12, width: 64}
weights: s3://bucket/resnet18.safetensors
weights_key: state_dict_ema
normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
input: {range: [0, 255], channels: bgr}
output: auto
output_order: [2, 0, 1]
format: huggingface
architecture: resnet18
sha256: 9f2c0b7e5d1a4c3f8e6b2d7a1c5f9e3b8d4a6c2f7e1b5d9a3c8f4e6b2d7a1c5f
trust: true
classes: 12
members: [{factory: "my_models:vgg11", weights: vgg11.pt}]
combine: loss
""",
        beside="{factory: 'my_models:net', classes: 3}",
        leaves={
            "weights_key": "{weights: net.pt}",
            "format": "{factory: null, weights: vit-base/}",
            "architecture": "{factory: null, format: torchvision, weights: resnet18.pth}",
            "sha256": f"{{factory: null, {_PROGRAM[1:]}",
            "trust": f"{{factory: null, {_PROGRAM[1:]}",
            "combine": "{members: [{factory: 'my_models:vgg11'}]}",
        },
    ),
    Section(
        "A recipe of `kind: attack` with `name: worst_of`; all others take the settings of [attacks.md](attacks.md)",
        WorstOf,
        """
kind: attack
name: worst_of
ops: [{name: rotate, degrees: 30}, {name: translate, x: 0.1, y: 0.1}]
tries: 32
misclassified: skip
""",
        beside="{kind: attack, name: worst_of, ops: [{name: hflip}]}",
    ),
    Section(
        "A recipe of `kind: augment`; the operations are in [augmentations.md](augmentations.md)",
        Augment,
        """
kind: augment
ops: [{name: hflip}, {name: rotate, degrees: 15}]
variants: 2
""",
        beside="{ops: [{name: hflip}]}",
    ),
    Section(
        "A recipe of `kind: sample`; [generators.md](generators.md) tells more",
        Sample,
        """
kind: sample
generator: {weights: gan.safetensors}
per_class: 100
admit: {agreement: 0.6, coverage: 0.4}
""",
        beside="{generator: {weights: g.safetensors}, per_class: 1}",
    ),
    Section(
        "`generator`",
        GeneratorFile,
        """
weights: gan.safetensors
training: {seconds: 600, flip: false}
format: factory
factory: acme.gans:build
arguments: {width: 64}
latent: 128
law: uniform
conditional: false
range: [-1, 1]
sha256: 9f2c0b7e5d1a4c3f8e6b2d7a1c5f9e3b8d4a6c2f7e1b5d9a3c8f4e6b2d7a1c5f
trust: true
""",
        beside="{weights: g.safetensors}",
        leaves={
            **dict.fromkeys(("format", "factory", "arguments", "latent", "law", "conditional", "range"), _FOREIGN),
            **dict.fromkeys(("sha256", "trust"), _PROGRAM.replace("net.pt", "g.pt").replace("}", ", latent: 128}")),
        },
    ),
    Section(
        "`training` of a generator",
        GanTraining,
        """
loss: hinge
steps: 20000
images: 2000000
seconds: 600
batch: 128
latent: 128
features: 64
generator_rate: 0.0002
discriminator_rate: 0.0004
gamma: 0.5
augment: true
flip: false
ema: 0.999
precision: bfloat16
""",
        leaves={"gamma": "{loss: relativistic}"},
    ),
    Section(
        "`admit`",
        Admit,
        """
agreement: 0.6
coverage: 0.4
judge: 0.8
""",
    ),
    Section(
        "`output`",
        Output,
        """
path: s3://bucket/photos/
png_level: 6
keep: success
shard_rows: 4096
license: CC-BY-4.0
""",
        beside="{path: out}",
    ),
    Section(
        "`run`",
        Run,
        """
actors: {max: 16}
shards_per_actor: 3
cpus_per_actor: 4
gpus_per_actor: 0.5
batch: 512
precision: bfloat16
compile: true
max_attempts: 5
start_minutes: 60
shard_minutes: 30
""",
    ),
    Section(
        "`train`, of `hardset harden`",
        Train,
        """
method: trades
settings: {power: 2}
epochs: 10
batch: 256
attack: {name: pgd, eps: 8/255, steps: 10}
beta: 6
mix: {clean: 0.5, newest: 0.4, older: 0.1}
data: ["s3://bucket/earlier/"]
optimiser: sgd
rate: 0.05
schedule: cyclic
warm_up: 0.2
momentum: 0.95
weight_decay: 0.001
label_smoothing: 0.1
ema: 0.999
awp: 0.005
clip: 1.0
augment: [{name: hflip}, {name: crop, padding: 4}]
precision: bfloat16
channels_last: false
compile: true
workers: 4
give_up_after: 3
""",
        leaves={
            **dict.fromkeys(("method", "beta"), "{method: trades, attack: {name: pgd, eps: 8/255}}"),
            **dict.fromkeys(("attack", "awp"), "{method: pgd_at, attack: {name: pgd, eps: 8/255}}"),
            "settings": "{method: 'my_training:METHOD'}",
        },
    ),
    Section(
        "`mix`, shares of a batch",
        Mix,
        """
clean: 0.5
newest: 0.3
older: 0.1
augmented: 0.05
generated: 0.05
""",
        beside="{clean: 0.5, newest: 0.3, older: 0.1, augmented: 0.05, generated: 0.05}",
    ),
    Section(
        "`harden`",
        Harden,
        """
rounds: 6
validation: {fraction: 0.1}
attacks: [{name: fast, eps: 8/255}]
budget: {minutes: 120}
weights: hardened.safetensors
""",
    ),
    Section("`validation` as a share", HeldOutShare, "fraction: 0.1"),
    Section(
        "`budget` of hardening",
        HardeningBudget,
        """
gradients: 50000000
rows: 1000000
minutes: 120
""",
    ),
)


def section_table(section: Section) -> str:
    """Markdown table with one line per key."""
    lines = ["| key | takes | default | meaning | example |", "|---|---|---|---|---|"]
    texts = dict(line.split(": ", 1) for line in section.examples.strip().splitlines())
    for key in section.kind.model_fields:
        cells = (
            f"`{key}`",
            taken_by(section.kind, key),
            default_cell(section.kind, key),
            meaning_of(section.kind, key),
            f"`{key}: {texts[key]}`",
        )
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def job_key_tables() -> str:
    """All sections."""
    return "\n".join(f"## {section.title}\n\n{section_table(section)}" for section in SECTIONS)
