"""The job file: what is wrong with it is one sentence per key, and what is right survives every round trip."""

from __future__ import annotations

import copy
import inspect
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError

from hardset.jobs.verbs.init import write_template
from hardset.pipeline.models.factory import build
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.errors import JobError
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.job import Job, Network
from hardset.schemas.reading.documents import parse_yaml
from hardset.schemas.reading.json_schema import job_schema
from hardset.schemas.reading.loading import load_job, parse_job

EXAMPLE = """
name: digits-nightly
seed: 7
source: {format: digits}
model: {factory: "hardset.pipeline.models.zoo:small_cnn", weights: s3://bucket/model.safetensors, classes: 10,
        normalize: {mean: [0.5], std: [0.25]}}
recipes:
  - {kind: attack, name: pgd, norm: linf, eps: 8/255, step_size: 2/255, steps: 10, restarts: 1}
  - {kind: attack, name: fgsm, norm: linf, eps: {min: 2/255, max: 0.03}}
  - {kind: augment, ops: [{name: hflip}, {name: rotate, degrees: 15}, {name: crop, padding: 2},
                          {name: gaussian_noise, std: 0.05}], variants: 2}
  - {kind: sample, generator: {weights: gan.safetensors}, per_class: 100}
transfer_to: [{name: rival, factory: "hardset.pipeline.models.zoo:cnn_a", weights: rival.pt, arguments: {side: 8}}]
output: {path: out/, png_level: 0, keep: all, shard_rows: 2048}
run: {actors: 2, cpus_per_actor: 1, gpus_per_actor: 0, batch: 256, precision: float32, max_attempts: 3}
"""

NUMBER = "wants a number such as 8/255 or 0.03"
AMOUNT = f"{NUMBER}, or a range {{min: 2/255, max: 8/255}}"


def example() -> dict[str, Any]:
    return dict(yaml.safe_load(EXAMPLE))


def job_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "job.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint(*overrides: str) -> str:
    with pytest.raises(JobError) as caught:
        parse_job(example(), overrides, name="job.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


SENTENCES = [
    # Budgets
    ("recipes.0.eps=lots", f"recipes.0.eps: got 'lots'; {AMOUNT}"),
    ("recipes.0.eps=true", f"recipes.0.eps: got true; {AMOUNT}"),
    ("recipes.0.eps=.nan", f"recipes.0.eps: got nan; {AMOUNT}"),
    ("recipes.0.eps=-.inf", f"recipes.0.eps: got -inf; {AMOUNT}"),
    ("recipes.0.eps=8/0", f"recipes.0.eps: got '8/0'; {AMOUNT}"),
    ("recipes.0.eps=1e999999999", f"recipes.0.eps: got '1e999999999'; {AMOUNT}"),
    ("recipes.0.eps=[a]", f"recipes.0.eps.0: got 'a'; {NUMBER}"),
    ("recipes.0.eps=[[1]]", f"recipes.0.eps.0: got [1]; {NUMBER}"),
    ("recipes.0.eps=", f"recipes.0.eps: got nothing; {AMOUNT}"),
    ("recipes.0.eps=8", "recipes.0.eps: got 8; wants at most 1, pixels lie in [0, 1] (write 8/255, not 8)"),
    ("recipes.0.eps=1.5", "recipes.0.eps: got 3/2; wants at most 1, pixels lie in [0, 1]"),
    ("recipes.0.eps=-1/255", "recipes.0.eps: got -1/255; wants 0 or more"),
    ("recipes.0.eps={min: 2/255}", "recipes.0.eps.max: missing; it is required: largest value, [0, 1] pixel scale"),
    ("recipes.0.eps={min: a, max: 1}", f"recipes.0.eps.min: got 'a'; {NUMBER}"),
    ("recipes.0.eps={min: 8/255, max: 2/255}", "recipes.0.eps.min: got 8/255; wants at most max, which is 2/255"),
    ("recipes.0.eps={min: 0, max: 1, mean: 0}", "recipes.0.eps.mean: unknown key (allowed: min, max)"),
    ("recipes.0.step_size=0", "recipes.0.step_size: got 0; wants more than 0"),
    ("recipes.2.ops.3.std=5", "recipes.2.ops.3.std: got 5; wants more than 0 and at most 1"),
    # Numbers
    ("recipes.0.steps=1.5", "recipes.0.steps: got 1.5; wants a whole number from 1 to 100000"),
    ("recipes.0.steps=many", "recipes.0.steps: got 'many'; wants a whole number from 1 to 100000"),
    ("seed=-1", "seed: got -1; wants a whole number from 0 to 9223372036854775807"),
    ("seed=yes", "seed: got true; wants a whole number from 0 to 9223372036854775807"),
    ("run.actors=-1", "run.actors: got -1; wants a whole number from 0 to 100000, or a mapping with max"),
    ("run.actors={min: 3, max: 2}", "run.actors.min: got 3; wants at most max, which is 2"),
    ("run.actors={min: 2}", "run.actors.max: missing"),
    ("run.shards_per_actor=0", "run.shards_per_actor: got 0; wants a whole number from 1 to 16"),
    ("run.shard_minutes=0", "run.shard_minutes: got 0; wants a number above 0"),
    ("recipes.2.ops.0.p=2", "recipes.2.ops.0.p: got 2; wants a number from 0 to 1"),
    ("recipes.2.ops.1.degrees=0", "recipes.2.ops.1.degrees: got 0; wants a number above 0 and at most 180"),
    ("model.normalize.mean=[.nan]", "model.normalize.mean.0: got nan; wants a number"),
    ("model.normalize.std=[0]", "model.normalize.std.0: got 0; wants a number above 0"),
    ("model.normalize.std=[1, 1]", "model.normalize.std: has 2 values and mean has 1"),
    ("source.size=[1, 2, 3]", "source.size: got [1, 2, 3]; wants a whole number from 1 to 16384"),
    ("source.size=[8, 0]", "source.size.1: got 0; wants a whole number from 1 to 16384"),
    ("source.size=[]", "source.size: got an empty list; wants a whole number from 1 to 16384, or a list of 2 values"),
    ("source.size=[8]", "source.size: got [8]; wants a whole number from 1 to 16384, or a list of 2 values"),
    # Choices
    ("recipes.0.name=pdg", "recipes.0.name: got 'pdg'; wants "),
    ("recipes.0.kind=atack", "recipes.0.kind: got 'atack'; wants attack, augment or sample; did you mean attack?"),
    ("recipes.2.ops.0.name=flip", "recipes.2.ops.0.name: got 'flip'; wants "),
    ("recipes.2.ops.0=hflip", "recipes.2.ops.0: got 'hflip'; wants a mapping with name: "),
    ("source.format=parq", "source.format: got 'parq'; wants "),
    ("source=digits", "source: got 'digits'; wants a mapping with format: "),
    ("run.precision=fp16", "run.precision: got 'fp16'; wants float32 or bfloat16"),
    ("recipes.0.target=-1", "recipes.0.target: got -1; wants random, least_likely or next, or a whole number from 0"),
    ("recipes.0.target=10", "recipes.0.target: got 10; wants a class from 0 to 9, as model.classes says"),
    ("recipes.0.random_start=maybe", "recipes.0.random_start: got 'maybe'; wants true or false"),
    # Keys
    ("recipes.0.epss=1", "recipes.0.epss: unknown key; did you mean eps? (allowed: kind, name, norm, eps, "),
    ("run.gpus=1", "run.gpus: unknown key"),
    ("outputs={}", "outputs: unknown key; did you mean output?"),
    ("output={}", "output.path: missing; it is required: folder of the dataset; any fsspec URL"),
    ("source={format: parquet}", "source.path: missing; it is required: file, folder or glob; any fsspec URL"),
    ("recipes.0={name: pgd}", "recipes.0.kind: missing; wants attack, augment or sample"),
    # Shapes
    ("recipes=[]", "recipes: got an empty list; wants a list of one or more items, each a mapping with kind: "),
    ("recipes={kind: attack}", "recipes: got a mapping; wants a list of one or more items"),
    ("output=5", "output: got 5; wants a mapping with path"),
    ("model=", "model: missing; attack recipes need the classifier under attack"),
    ("name=5", "name: got 5; wants text like digits-nightly"),
    ("name=a b", "name: got 'a b'; wants text like digits-nightly"),
    (
        "model.factory=small_cnn",
        "model.factory: got 'small_cnn'; wants text like hardset.pipeline.models.zoo:small_cnn",
    ),
    ("model.arguments={a: .inf}", "model.arguments: got a mapping; wants text, finite numbers"),
    ("model.arguments={1: a}", "model.arguments.1: a key must be text; put it in quotes"),
    ("model.arguments={-3: a}", "model.arguments.-3: a key must be text; put it in quotes"),
    ("source.splits=train", "source.splits: got 'train'; wants a list, each item text"),
    ("recipes.4={kind: attack, name: pgd, eps: 8/255, step_size: 2/255}", "recipes.4: is the same as recipes.0"),
    # Ensembles and held-out models
    ("model.members=other", "model.members: got 'other'; wants a list, each item a mapping with factory"),
    ("model.members=[{}]", "model.members.0.factory: missing; it is required: importable"),
    ("model.members=[{factory: cnn}]", "model.members.0.factory: got 'cnn'; wants text like hardset.pipeline."),
    ("model.members=[{factory: a:b, classes: 3}]", "model.members.0.classes: unknown key (allowed: factory, arg"),
    ("model.members=[{factory: a:b, arguments: {a: .inf}}]", "model.members.0.arguments: got a mapping; wants text"),
    ("model.members=[{factory: a:b}, {factory: a:b}]", "model.members.1: is the same as members.0; remove one or"),
    (
        "model={factory: a:b, classes: 10, members: [{factory: a:b}]}",
        "model.members.0: is the same as the model above; remove one or change a setting",
    ),
    ("model.combine=mean", "model.combine: got 'mean'; wants logits or loss"),
    ("model.combine=loss", "model.combine: got loss, but there is one model only; list the others in members"),
    ("transfer_to=other", "transfer_to: got 'other'; wants a list, each item a mapping with factory and name"),
    ("transfer_to=[{factory: a:b}]", "transfer_to.0.name: missing; it is required: names the model in columns and"),
    ("transfer_to=[{name: a b, factory: a:b}]", "transfer_to.0.name: got 'a b'; wants text like "),
    (
        "transfer_to=[{name: a, factory: a:b}, {name: b, factory: a:b}, {name: a, factory: a:c}]",
        "transfer_to.2.name: got 'a', which is the name of transfer_to.0 too; wants another",
    ),
    ("transfer_to=[{name: a, factory: a:b, normalize: {mean: [1], std: [0]}}]", "transfer_to.0.normalize.std.0: got 0"),
    (
        "recipes=[{kind: sample, generator: {weights: w}, per_class: 1}]",
        "transfer_to: only adversarial rows are judged by held-out models; add an attack recipe",
    ),
]


@pytest.mark.parametrize(("override", "sentence"), SENTENCES, ids=[o for o, _ in SENTENCES])
def test_each_fault_is_one_sentence(override: str, sentence: str) -> None:
    text = complaint(override)
    assert text.startswith(f"job.yaml: {sentence}")
    assert "\n" not in text


def test_all_faults_are_told_at_once() -> None:
    lines = complaint("recipes.0.eps=lots", "run.actors=-1", "sede=1").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["recipes.0.eps", "run.actors", "sede"]


def test_an_unknown_attack_names_its_neighbours_out_of_the_type() -> None:
    text = complaint("recipes.0.name=pdg")
    assert "did you mean pgd" in text
    assert all(name in text for name in ATTACKS)


FILES = [
    ("name: a\nname: b\n", "line 2, column 1: the key name is given twice, first in line 1; keep one"),
    ("run: {actors: 1, actors: 2}", "line 1, column 18: the key actors is given twice"),
    ("run:\n\tactors: 1", "line 2, column 1: a tab; YAML is indented with spaces"),
    (b"name: caf\xe9", "byte 9 is not UTF-8; save the job file as UTF-8 text"),
    ("", "holds nothing; a job file is a mapping of keys: name, source"),
    ("- a", "holds a list, not a mapping"),
    ("a: [", "line 1, column 5: is not YAML"),
    ("a: 1\n---\nb: 2", "line 2, column 1: is not YAML"),
    ("a: \x01", "is not text"),
    ("a: 2026-99-99", "holds a value that cannot be read"),
    ("a: " + "9" * 5000, "holds a value that cannot be read"),
    ("[" * 5000, "is nested too deeply"),
    ("a: !!python/object:os.system {}", "line 1, column 4: is not YAML"),
    ("? [1]\n: 2", "line 1, column 3: is not YAML: found unhashable key"),
]


@pytest.mark.parametrize(("text", "sentence"), FILES, ids=[s[:30] for _, s in FILES])
def test_a_file_that_is_no_job_says_where(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = job_file(tmp_path, text)
    with pytest.raises(JobError) as caught:
        load_job(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no such job file; `hardset init "):
        load_job(tmp_path / "none.yaml")
    with pytest.raises(JobError, match=r"is a folder; name the job file in it"):
        load_job(tmp_path)
    with pytest.raises(JobError, match="null byte"):
        load_job("a\0b")


def test_merge_keys_and_a_byte_order_mark_are_welcome(tmp_path: Path) -> None:
    text = EXAMPLE.replace("seed: 7", "<<: {seed: 1}\nseed: 9")
    assert load_job(job_file(tmp_path, b"\xef\xbb\xbf" + text.encode())).seed == 9


def test_overrides_reach_every_key(tmp_path: Path) -> None:
    path = job_file(tmp_path, re.sub(r"run: .*", "", EXAMPLE))
    job = load_job(path, ["run.actors=5", "recipes.0.eps=4/255", "recipes.4={kind: augment, ops: [{name: vflip}]}"])
    assert (job.run.actors, job.recipes[0].eps, len(job.recipes)) == (5, Fraction(4, 255), 5)
    assert load_job(path, ["model.normalize="]).model.normalize is None
    assert load_job(path, ["model.arguments.width=8", "model.arguments.deep.er=x=y"]).model.arguments == {
        "width": 8,
        "deep": {"er": "x=y"},
    }


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("recipes", "wants KEY.PATH=VALUE, such as recipes.0.eps=4/255"),
        ("=1", "wants KEY.PATH=VALUE"),
        ("a..b=1", "wants KEY.PATH=VALUE"),
        ("recipes.9.eps=1", "9 is not a position in a list of 4"),
        ("recipes.x=1", "x is not a position in a list of 4"),
        ("name.x=1", "there is no key x below 'digits-nightly'"),
        ("run.actors=[", "line 1, column 2: is not YAML"),
        ("run={actors: 1, actors: 2}", "the key actors is given twice"),
    ],
)
def test_overrides_that_lead_nowhere_say_so(override: str, sentence: str) -> None:
    text = complaint(override)
    assert text.startswith("--set ") and sentence in text


def test_overrides_leave_the_document_alone() -> None:
    document = example()
    before = copy.deepcopy(document)
    parse_job(document, ["recipes.0.eps=4/255", "run.actors=9"])
    assert document == before


def test_numbers_are_exact() -> None:
    attack = parse_job(example()).recipes[0]
    assert (attack.eps, attack.step_size) == (Fraction(8, 255), Fraction(2, 255))
    assert parse_job(example(), ["recipes.0.eps=0.1"]).recipes[0].eps == Fraction(1, 10)
    assert parse_job(example(), ["recipes.0.eps=2.5 / 255"]).recipes[0].eps == Fraction(5, 510)
    assert parse_job(example(), ["recipes.0.eps=1e-3"]).recipes[0].eps == Fraction(1, 1000)


amounts = st.fractions(min_value=0, max_value=1, max_denominator=10_000)
ranges = st.tuples(amounts, amounts).map(lambda p: {"min": str(min(p)), "max": str(max(p))})


@given(
    eps=st.one_of(amounts.map(str), ranges),
    norm=st.sampled_from(["linf", "l2"]),
    steps=st.none() | st.integers(1, 50),
    variants=st.integers(1, 9),
    std=st.fractions(min_value="1/1000", max_value=1),
)
@settings(max_examples=60, deadline=None)
def test_a_job_survives_json_and_yaml(eps: Any, norm: str, steps: int | None, variants: int, std: Fraction) -> None:
    document = example()
    document["recipes"][0] |= {"eps": eps, "norm": norm, "steps": steps, "step_size": None, "restarts": variants}
    document["recipes"][2] |= {"variants": variants, "ops": [{"name": "gaussian_noise", "std": str(std)}]}
    job = parse_job(document)
    dumped = job.model_dump(mode="json")
    assert parse_job(json.loads(json.dumps(dumped))) == job
    assert parse_job(yaml.safe_load(yaml.safe_dump(dumped))) == job
    assert parse_job(dumped).model_dump(mode="json") == dumped


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["8/255", "attack", "pgd", "hflip", "digits", "parquet", b"\0", "1/0", "memory://x"])
    | st.dates()
)
WORDS = """name seed source format path size model factory classes normalize mean std recipes kind eps min max steps
target ops degrees output run actors p generator arguments splits"""
keys = st.sampled_from(WORDS.split()) | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.integers(), inner, max_size=4)
)


def places(node: Any) -> list[tuple[str, ...]]:
    """Every key path of a document."""
    if isinstance(node, dict):
        children = [(str(k) if re.fullmatch(r"[\w-]+", str(k)) else repr(k), v) for k, v in node.items()]
    elif isinstance(node, list):
        children = [(str(i), v) for i, v in enumerate(node)]
    else:
        return []
    return [(k, *rest) for k, v in children for rest in [(), *places(v)]]


def declared_keys() -> set[str]:
    schema = job_schema()
    records = [schema, *schema["$defs"].values()]
    return {key for record in records for key in record.get("properties", {})}


DECLARED = declared_keys()


def spots(node: Any) -> list[tuple[Any, Any]]:
    """Every place of a document that can be written to: its container and its key."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [spot for key, value in items for spot in [(node, key), *spots(value)]]


@given(data=st.data())
@settings(max_examples=250, deadline=None)
def test_any_document_is_a_job_or_a_list_of_sentences_about_its_keys(data: st.DataObject) -> None:
    document = example()
    for _ in range(data.draw(st.integers(1, 3))):
        choices = spots(document)
        container, key = choices[data.draw(st.integers(0, len(choices) - 1))]
        added = data.draw(keys | st.none()) if isinstance(container, dict) else None
        container[key if added is None else added] = data.draw(junk)
    check_complaints(document)


@given(document=st.dictionaries(keys | st.integers(), junk, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_junk_is_a_list_of_sentences(document: dict[Any, Any]) -> None:
    check_complaints(document)


def check_complaints(document: dict[Any, Any]) -> None:
    try:
        job = parse_job(document, name="job.yaml")
    except JobError as error:
        existing = {(), *places(document)}
        known = {".".join(p) for p in existing} | {".".join((*p, key)) for p in existing for key in DECLARED}
        for line in str(error).split("\njob.yaml: "):
            sentence = line.removeprefix("job.yaml: ")
            assert any(sentence.startswith(f"{path}: ") for path in known), (line, document)
            assert "function-" not in line and "constrained" not in line
    else:
        assert parse_job(job.model_dump(mode="json")) == job


@given(text=st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
@settings(max_examples=150, deadline=None)
def test_any_text_is_yaml_or_a_sentence(text: str) -> None:
    try:
        parse_yaml(text, name="job.yaml")
    except JobError as error:
        assert str(error).startswith("job.yaml: ")


def test_the_schema_is_valid_and_takes_what_the_loader_takes() -> None:
    schema = job_schema()
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    check.validate(example())
    check.validate(parse_job(example()).model_dump(mode="json"))
    for key, record in schema["$defs"].items():
        assert record.get("description"), f"{key} has no description"
    undescribed = [
        (record.get("title"), key)
        for record in [schema, *schema["$defs"].values()]
        for key, value in record["properties"].items()
        if not value.get("description") and "const" not in value and "$ref" not in value
    ]
    assert undescribed == []


@pytest.mark.parametrize(
    "override",
    [
        "recipes.0.eps=lots",
        "recipes.0.eps=1/",
        "recipes.0.eps=true",
        "recipes.0.eps={min: 0}",
        "recipes.0.epss=1",
        "recipes.0={name: pgd, eps: 8/255}",
        "recipes.0.kind=atack",
        "source={}",
        "source={format: parquet}",
        "recipes=[]",
        "run.actors=-1",
        "seed=true",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(override: str) -> None:
    complaint(override)
    key, _, text = override.partition("=")
    document = example()
    *path, last = [int(k) if k.isdigit() else k for k in key.split(".")]
    node: Any = document
    for part in path:
        node = node[part]
    node[last] = yaml.safe_load(text)
    with pytest.raises(SchemaError):
        Draft202012Validator(job_schema()).validate(document)


def test_the_job_in_the_readme_is_a_job() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "recipes:" in b]
    if not blocks:
        pytest.skip("the README shows no job file")
    for block in blocks:
        document = yaml.safe_load(block)
        parse_job(document, name="README.md")
        Draft202012Validator(job_schema()).validate(document)


def test_init_writes_a_job_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    write_template(path, force=False)
    job = load_job(path)
    document = yaml.safe_load(path.read_text())
    Draft202012Validator(job_schema()).validate(document)
    assert {*document, "logical_date"} == set(Job.model_fields), "the template shows every section"
    assert {r.kind for r in job.recipes} == {"attack", "augment"}
    path.write_text("mine")
    with pytest.raises(JobError, match=r"already there.*--force"):
        write_template(path, force=False)
    assert path.read_text() == "mine"
    write_template(path, force=True)
    assert load_job(path) == job


def test_every_alternative_in_the_template_is_right(tmp_path: Path) -> None:
    """Lines that are commented out are settings too: each must load when it replaces or joins what is there."""
    write_template(tmp_path / "job.yaml", force=False)
    text = (tmp_path / "job.yaml").read_text()
    for commented in [
        "arguments: {side: 8}",
        "weights: demo/model.safetensors",
        "normalize: {mean: [0.5], std: [0.25]}",
    ]:
        assert f"# {commented}" in text
        key, _, value = commented.partition(": ")
        model = load_job(tmp_path / "job.yaml", [f"model.{key}={value}"]).model
        inspect.signature(small_cnn).bind(**model.arguments)
    for key in ("model.members", "transfer_to"):
        further = re.search(rf"{key.rpartition('.')[2]}: .*\n *# *- (\{{.*\}})\n", text)
        assert further, key
        job = load_job(tmp_path / "job.yaml", [f"{key}=[{further[1]}]"])
        (network,) = job.model.members or job.transfer_to
        assert build(network)(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    sample = re.search(r"  # - (kind: sample.*?)\n\n", text, re.DOTALL)
    assert sample
    recipe = yaml.safe_load(re.sub(r"\n  #   ", "\n", sample[1]))
    assert load_job(tmp_path / "job.yaml", [f"recipes.2={json.dumps(recipe)}"]).recipes[2].kind == "sample"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("pipeline.models.zoo:small_cnn", "hardset.pipeline.models.zoo:small_cnn"),
        ("hardset.pipeline.models.zoo:small_cnn", "hardset.pipeline.models.zoo:small_cnn"),
        ("pipeline.models.zoo.extra:net", "pipeline.models.zoo.extra:net"),
        ("pipeline.nets:net", "pipeline.nets:net"),
        ("acme.pipeline.models.zoo:net", "acme.pipeline.models.zoo:net"),
    ],
)
def test_hardsets_own_networks_have_one_spelling_and_any_other_pipeline_is_the_users(written: str, kept: str) -> None:
    assert Network(factory=written).factory == kept
