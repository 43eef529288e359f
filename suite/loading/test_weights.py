"""Slides 24 and 25: what `AutoModelForMaskedLM.from_pretrained(model_id, config=config)` does, step by step."""

import functools
import json
import re
from importlib.util import find_spec

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForMaskedLM,
    DistilBertConfig,
)
from transformers.models.auto import modeling_auto

from fixtures import checkpoints
from fixtures.parameters import changed

REPO = "course/masked"
# From the Hub: a pickle makes some releases ask elsewhere (see test_weight_files.py), the oldest read nothing else.
WEIGHTS = "safetensors" if find_spec("safetensors") else "bin"


@pytest.fixture(autouse=True)
def _random_state():
    """What is made anew is drawn from torch's global generator: it is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture
def masked_lm(tmp_path):
    """A folder with a checkpoint of `BertForMaskedLM`. (All releases read a pickle.)"""
    return checkpoints.write(tmp_path / "masked", "bert", "masked-lm", weights="bin")


@pytest.fixture
def repo(hub, tmp_path):
    """The same checkpoint on the local Hub, as `REPO`."""
    return hub.model(REPO, checkpoints.write(tmp_path / "repo", "bert", "masked-lm", weights=WEIGHTS))


# "Configuration. If we have explicitly configured, it can be ignored."


@pytest.mark.claim("weights.explicit-config-skips")
@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_no_request_for_the_config(hub, repo, masked_lm, cache, evidence):
    """With `config=` given, config.json is not asked for, be the cache empty or full."""
    config = AutoConfig.from_pretrained(masked_lm)
    if cache == "warm":
        AutoModelForMaskedLM.from_pretrained(REPO)
        hub.log.clear()

    AutoModelForMaskedLM.from_pretrained(REPO, config=config)

    evidence["requests"] = [str(request).replace(repo.sha, "COMMIT") for request in hub.log]
    assert [request for request in hub.log.files(REPO) if request.split()[-1] == "config.json"] == []


@pytest.mark.claim("weights.explicit-config-skips.slide")
def test_config_asked_for_once(hub, repo, evidence):
    """The config that the slides load first is not loaded a second time with the model."""
    config = AutoConfig.from_pretrained(REPO)
    model = AutoModelForMaskedLM.from_pretrained(REPO, config=config)

    asked = hub.log.files(REPO)
    evidence["requests"] = asked
    assert asked.count("GET config.json") == 1
    assert not changed(model, checkpoints.state())


@pytest.mark.claim("weights.explicit-config-skips.repo-needs-none")
def test_repo_without_a_config(masked_lm, tmp_path):
    """With `config=` given, the repo need not have a config.json."""
    config = AutoConfig.from_pretrained(masked_lm)
    folder = checkpoints.write(tmp_path / "no-config", weights="bin")
    (folder / "config.json").unlink()

    model = AutoModelForMaskedLM.from_pretrained(folder, config=config)

    assert not changed(model, checkpoints.state())


@pytest.mark.claim("weights.explicit-config-skips.given-wins")
def test_given_config_wins(masked_lm, evidence):
    """Where the given config and the repo's differ, the model is built by the given one."""
    config = AutoConfig.from_pretrained(masked_lm, num_hidden_layers=1, attention_probs_dropout_prob=0.5)

    model = AutoModelForMaskedLM.from_pretrained(masked_lm, config=config)

    evidence["layers"] = len(model.bert.encoder.layer)
    assert len(model.bert.encoder.layer) == 1
    assert model.bert.encoder.layer[0].attention.self.dropout.p == 0.5
    assert model.config.num_hidden_layers == 1
    assert not changed(model, checkpoints.state())


@pytest.mark.claim("weights.explicit-config-skips.misfit-refused")
def test_given_config_of_another_size(masked_lm, evidence):
    """A given config whose sizes the stored parameters do not have is refused."""
    config = AutoConfig.from_pretrained(masked_lm, intermediate_size=128)

    with pytest.raises(RuntimeError, match="size") as refusal:
        AutoModelForMaskedLM.from_pretrained(masked_lm, config=config)

    evidence["error"] = str(refusal.value)[:300]


# "Choose model class (`BertForMaskedLM`)"


@pytest.mark.claim("weights.class-chosen")
def test_bert_for_masked_lm(masked_lm):
    """The config of a BERT model and `AutoModelForMaskedLM` give a `BertForMaskedLM`, no subclass of it."""
    config = AutoConfig.from_pretrained(masked_lm)

    assert type(AutoModelForMaskedLM.from_pretrained(masked_lm, config=config)) is BertForMaskedLM
    assert type(AutoModelForMaskedLM.from_config(config)) is BertForMaskedLM


@pytest.mark.claim("weights.class-chosen.auto-class")
@pytest.mark.parametrize(
    ("auto_class", "name"),
    [
        (AutoModel, "BertModel"),
        (AutoModelForSequenceClassification, "BertForSequenceClassification"),
        (AutoModelForTokenClassification, "BertForTokenClassification"),
        (AutoModelForQuestionAnswering, "BertForQuestionAnswering"),
    ],
)
def test_other_auto_class_other_class(masked_lm, auto_class, name):
    """With the same config another Auto class chooses the class of its own task."""
    config = AutoConfig.from_pretrained(masked_lm)

    model = auto_class.from_pretrained(masked_lm, config=config)

    assert type(model) is getattr(transformers, name)


@pytest.mark.claim("weights.class-chosen.given-config")
def test_class_by_the_given_config(masked_lm):
    """With `config=` given, it is that config that chooses the class, whatever model type the repo's names."""
    sizes = {"vocab_size": 5_000, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}

    model = AutoModelForMaskedLM.from_pretrained(masked_lm, config=DistilBertConfig(**sizes))

    assert type(model) is transformers.DistilBertForMaskedLM


def entries():
    """Model type and class name of every entry of the release's tables of models, over all Auto classes."""
    tables = [
        getattr(modeling_auto, name) for name in dir(modeling_auto) if re.fullmatch("MODEL_.*MAPPING_NAMES", name)
    ]
    return sorted(
        {
            (model_type, name)
            for table in tables
            for model_type, names in table.items()
            for name in ([names] if isinstance(names, str) else names)
        }
    )


@functools.cache  # the list of names takes a second
def missing():
    """The entries whose class neither the package exports nor the model type's own module has."""
    exported = set(dir(transformers))
    return [entry for entry in entries() if entry[1] not in exported and not is_there(*entry)]


def is_there(model_type, name):
    try:
        load_class(model_type, name)
    except NOT_THERE:
        return False
    return True


# The oldest releases look for it in the package again and again.
NOT_THERE = (ValueError, AttributeError, ImportError, RecursionError)


@pytest.mark.claim("weights.class-chosen.every-entry")
def test_every_class_exported(evidence):
    """Every class that the Auto classes may choose is exported by the package, or in the model type's own module."""
    evidence.update(entries=len(entries()), missing=missing())
    assert missing() == []


@pytest.mark.correction("weights.class-chosen.every-entry")
def test_error_where_the_class_does_not_exist(evidence):
    """An entry whose class does not exist is noticed when it is used. They are few."""
    for model_type, name in missing():
        with pytest.raises(NOT_THERE) as refusal:
            load_class(model_type, name)
        evidence[f"{model_type}: {name}"] = f"{type(refusal.value).__name__}: {refusal.value}"[:80]
        assert name not in dir(transformers)

    assert 0 < len(missing()) <= len(entries()) / 500


def load_class(model_type, name):
    """What an Auto class does once it has chosen: look in the model type's own module, then in the whole package."""
    return transformers.MODEL_MAPPING._load_attr_from_module(model_type, name)


def import_every_class(fresh_process):
    """Import all classes in a process of their own, which grows to 500 MB.

    Returns, by model type and class, the error of each that cannot be imported, and the packages that each stand-in
    waits for: where a package is missing that a class needs, the library puts another one there that only says so.
    """

    def import_them(wanted):
        import transformers

        failed, waiting = {}, {}
        for model_type, name in wanted:
            try:
                model_class = transformers.MODEL_MAPPING._load_attr_from_module(model_type, name)
            except (ValueError, AttributeError, ImportError, RuntimeError) as error:
                failed[f"{model_type}: {name}"] = str(error).splitlines()[0][:80]
            else:
                if hasattr(model_class, "_backends"):
                    waiting[f"{model_type}: {name}"] = sorted(model_class._backends)
        return failed, waiting

    return fresh_process(import_them, entries())


@pytest.mark.slow
@pytest.mark.claim("weights.class-chosen.every-entry.imported")
def test_every_class_imported(fresh_process, evidence):
    """Every class that the Auto classes may choose can be imported."""
    failed, _ = import_every_class(fresh_process)

    evidence.update(entries=len(entries()), failed=failed)
    assert failed == {}


@pytest.mark.slow
@pytest.mark.correction("weights.class-chosen.every-entry.imported")
def test_few_classes_fail(fresh_process, evidence):
    """All but a few, at most one in a hundred."""
    failed, _ = import_every_class(fresh_process)

    evidence["failed"] = failed
    assert 0 < len(failed) <= len(entries()) / 100


@pytest.mark.slow
@pytest.mark.claim("weights.class-chosen.every-entry.usable")
def test_no_class_waits_for_a_package(fresh_process, evidence):
    """No class that the Auto classes may choose waits for a package that the library does not install."""
    _, waiting = import_every_class(fresh_process)

    evidence["waiting"] = waiting
    assert waiting == {}


@pytest.mark.slow
@pytest.mark.correction("weights.class-chosen.every-entry.usable")
def test_error_names_the_package(fresh_process, evidence):
    """A class whose package is missing is imported as a stand-in, which names the package when it is instantiated."""
    _, waiting = import_every_class(fresh_process)

    for entry, packages in waiting.items():
        stand_in = load_class(*entry.split(": "))
        with pytest.raises(ImportError, match=packages[0]) as refusal:
            stand_in(None)
        evidence[entry] = str(refusal.value).strip()[:120]


# "and instantiate the random initialized model [...] Load parameters."


def draws_random_numbers(function):
    """Whether torch's global generator (CPU) has moved after `function()`."""
    before = torch.get_rng_state()
    function()
    return not torch.equal(before, torch.get_rng_state())


@pytest.fixture
def recorded():
    """A subclass of `BertForMaskedLM`, and the list in which each instance puts its parameters when it is made."""
    instances = []

    class Recorded(BertForMaskedLM):
        def __init__(self, config):
            super().__init__(config)
            instances.append({name: parameter.detach().clone() for name, parameter in self.named_parameters()})

    return Recorded, instances


@pytest.mark.claim("weights.random-then-loaded")
def test_random_numbers_are_drawn(masked_lm, evidence):
    """Random numbers are drawn when a model is loaded whose parameters are all in the checkpoint."""
    config = AutoConfig.from_pretrained(masked_lm)

    evidence["drawn by from_config"] = draws_random_numbers(lambda: AutoModelForMaskedLM.from_config(config))
    drawn = draws_random_numbers(lambda: AutoModelForMaskedLM.from_pretrained(masked_lm, config=config))
    evidence["drawn by from_pretrained"] = drawn

    assert evidence["drawn by from_config"]
    assert drawn


@pytest.mark.correction("weights.random-then-loaded")
def test_only_what_is_missing_is_drawn(masked_lm, evidence):
    """Random numbers are drawn for the parameters that the checkpoint lacks, once, and for no others."""
    torch.manual_seed(25)
    model, info = AutoModelForSequenceClassification.from_pretrained(masked_lm, output_loading_info=True)
    state = torch.get_rng_state()

    torch.manual_seed(25)
    for name, parameter in model.named_parameters():
        if name in info["missing_keys"] and name.endswith(".weight"):
            torch.empty(parameter.shape).normal_()

    evidence["missing"] = sorted(info["missing_keys"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.claim("weights.random-then-loaded.instantiated-first")
def test_instantiated_before_loading(masked_lm, recorded):
    """The model is instantiated, once, and none of its parameters is the trained one at that time."""
    # Of a seed of its own, and in memory all the time: some releases instantiate with what freed memory holds.
    trained = checkpoints.state(seed=323)
    store(masked_lm, trained)

    recorded_class, instances = recorded

    model = recorded_class.from_pretrained(masked_lm)

    assert len(instances) == 1
    first = instances[0]
    assert set(first) >= set(trained)
    assert [name for name in trained if not first[name].is_meta and torch.equal(first[name], trained[name])] == []
    assert not changed(model, trained)


@pytest.mark.claim("weights.random-then-loaded.in-memory")
def test_instantiated_with_values(masked_lm, recorded, evidence):
    """The instantiated model has values: its parameters are in memory before the trained ones are."""
    recorded_class, instances = recorded

    recorded_class.from_pretrained(masked_lm)

    devices = {value.device.type for value in instances[0].values()}
    evidence["devices"] = sorted(devices)
    assert devices == {"cpu"}


class RandomCalls(TorchDispatchMode):
    """Notes the device of each tensor that torch is told to fill with random numbers."""

    def __init__(self):
        super().__init__()
        self.devices = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.devices.append(result.device.type)
        return result


@pytest.mark.correction("weights.random-then-loaded.in-memory")
def test_instantiated_on_the_meta_device(masked_lm, recorded, evidence):
    """The parameters get shapes and no values: whatever the constructor wants drawn is not drawn in memory."""
    recorded_class, instances = recorded

    with RandomCalls() as calls:
        recorded_class.from_pretrained(masked_lm)

    evidence["calls"] = len(calls.devices)
    assert {value.device.type for value in instances[0].values()} == {"meta"}
    assert set(calls.devices) <= {"meta"}


# "Till now, all parameters have loaded with trained parameters (except the task head ...)"


@pytest.mark.claim("weights.all-loaded")
@pytest.mark.parametrize("shards", [1, 3])
def test_every_parameter_is_the_trained_one(tmp_path, shards):
    """Every parameter of a masked-LM model is, to the last bit, the one that the checkpoint holds."""
    folder = checkpoints.write(tmp_path / "model", "bert", "masked-lm", weights="bin", shards=shards)
    trained = checkpoints.state("bert", "masked-lm")

    model = AutoModelForMaskedLM.from_pretrained(folder)

    assert {name for name, _ in model.named_parameters()} >= set(trained)
    assert changed(model, trained) == []


@pytest.mark.claim("weights.all-loaded.tied")
def test_decoder_is_the_embedding(masked_lm):
    """The decoder's weight is the trained word embedding: one tensor under two names."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm)

    decoder = model.get_output_embeddings().weight
    assert decoder is model.get_input_embeddings().weight
    assert torch.equal(decoder, checkpoints.state()["bert.embeddings.word_embeddings.weight"])


@pytest.mark.correction("weights.all-loaded.tied")
def test_decoder_equals_the_embedding(masked_lm):
    """Where the file has it under both names the two are equal and not tied: training moves them apart."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm)

    decoder, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert decoder is not embedding
    assert torch.equal(decoder, embedding)


@pytest.mark.claim("weights.all-loaded.classifier")
def test_all_but_the_classifier(masked_lm, evidence):
    """Under `AutoModelForSequenceClassification` every parameter but the classification head's is the trained one."""
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm)

    evidence["not the trained ones"] = changed(model, checkpoints.state())
    assert changed(model, checkpoints.state()) == ["classifier.bias", "classifier.weight"]


@pytest.mark.correction("weights.all-loaded.classifier")
def test_all_but_the_classifier_and_pooler(masked_lm):
    """The pooler between encoder and classifier is not trained either: a masked-LM checkpoint has none."""
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm)

    assert changed(model, checkpoints.state()) == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "classifier.bias",
        "classifier.weight",
    ]


@pytest.mark.claim("weights.all-loaded.classifier-published")
@pytest.mark.parametrize("legacy_names", [False, True])
def test_all_but_the_classifier_from_pretraining(tmp_path, legacy_names):
    """From a checkpoint with a pooler, as bert-base-uncased is, every parameter but the classifier's is trained.

    Also where a LayerNorm's parameters are called `gamma` and `beta`, as they are there.
    """
    folder = checkpoints.write(
        tmp_path / "model", "bert", "pretraining", weights="bin", legacy_names=legacy_names
    )  # fmt: skip

    model = AutoModelForSequenceClassification.from_pretrained(folder)

    assert changed(model, checkpoints.state("bert", "pretraining")) == ["classifier.bias", "classifier.weight"]


@pytest.mark.claim("weights.all-loaded.file-untouched")
@pytest.mark.parametrize("weights", ["bin", pytest.param("safetensors", marks=pytest.mark.needs("safetensors"))])
def test_file_is_not_the_model(tmp_path, weights):
    """The parameters are a copy: changing them in place changes neither the file nor what is loaded next."""
    folder = checkpoints.write(tmp_path / "model", weights=weights)
    stored = checkpoints.files(folder)

    model = AutoModelForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)

    assert checkpoints.files(folder) == stored
    assert not changed(AutoModelForMaskedLM.from_pretrained(folder), checkpoints.state())


# The same for parameters in half precision

HALVES = [torch.float16, torch.bfloat16]


def store(folder, state, **entries):
    """Replace the parameters of a checkpoint (a pickle), and add entries to its config."""
    torch.save(state, folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | entries), encoding="utf-8")


@pytest.mark.claim("weights.all-loaded.half")
@pytest.mark.parametrize("dtype", HALVES)
def test_values_of_a_half_precision_checkpoint(masked_lm, dtype, evidence):
    """The parameters of a checkpoint in half precision are loaded with the stored values, whatever their new dtype."""
    halves = {name: tensor.to(dtype) for name, tensor in checkpoints.state().items()}
    store(masked_lm, halves)

    model = AutoModelForMaskedLM.from_pretrained(masked_lm)

    evidence["dtype"] = str(model.dtype)
    assert all(torch.equal(parameter.float(), halves[name].float()) for name, parameter in model.named_parameters())


@pytest.mark.claim("weights.all-loaded.half-stays")
@pytest.mark.parametrize("dtype", HALVES)
def test_dtype_of_a_half_precision_checkpoint(masked_lm, dtype, evidence):
    """A checkpoint in half precision is loaded in half precision."""
    store(masked_lm, {name: tensor.to(dtype) for name, tensor in checkpoints.state().items()})

    model = AutoModelForMaskedLM.from_pretrained(masked_lm)

    evidence["dtype"] = str(model.dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


@pytest.mark.correction("weights.all-loaded.half-stays")
@pytest.mark.parametrize("dtype", HALVES)
def test_single_precision_unless_asked(masked_lm, dtype):
    """It is loaded in single precision, unless `torch_dtype="auto"` asks for the stored one."""
    store(masked_lm, {name: tensor.to(dtype) for name, tensor in checkpoints.state().items()})

    model = AutoModelForMaskedLM.from_pretrained(masked_lm)
    # Some releases lose it on the way through an Auto class.
    as_stored = BertForMaskedLM.from_pretrained(masked_lm, torch_dtype="auto")

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in as_stored.parameters()} == {dtype}


@pytest.mark.claim("weights.all-loaded.config-dtype")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_values_whatever_the_config_says(masked_lm, dtype, evidence):
    """The parameters have the stored values although the config names a dtype that cannot hold them."""
    store(masked_lm, checkpoints.state(), torch_dtype=dtype)

    model = AutoModelForMaskedLM.from_pretrained(masked_lm)

    evidence["dtype"] = str(model.dtype)
    assert changed(model, checkpoints.state()) == []


@pytest.mark.correction("weights.all-loaded.config-dtype")
@pytest.mark.parametrize("dtype", HALVES)
def test_rounded_to_the_dtype_of_the_config(masked_lm, dtype):
    """The stored values are rounded to the config's dtype; `torch_dtype=torch.float32` keeps them."""
    store(masked_lm, checkpoints.state(), torch_dtype=str(dtype).removeprefix("torch."))

    rounded = AutoModelForMaskedLM.from_pretrained(masked_lm)
    kept = AutoModelForMaskedLM.from_pretrained(masked_lm, torch_dtype=torch.float32)

    assert changed(rounded, {name: tensor.to(dtype) for name, tensor in checkpoints.state().items()}) == []
    assert changed(kept, checkpoints.state()) == []


@pytest.mark.needs("transformers>=4.56")
@pytest.mark.correction("weights.all-loaded.config-dtype")
@pytest.mark.parametrize("stored_dtype", HALVES)
def test_kept_under_todays_name_of_the_argument(masked_lm, stored_dtype):
    """`dtype=torch.float32`, as `torch_dtype` is called now, keeps the stored values."""
    store(masked_lm, checkpoints.state(), torch_dtype=str(stored_dtype).removeprefix("torch."))

    model_id = masked_lm
    model = AutoModelForMaskedLM.from_pretrained(
        model_id,
        dtype=torch.float32,
    )

    assert changed(model, checkpoints.state()) == []


@pytest.mark.claim("weights.all-loaded.asked-dtype")
@pytest.mark.parametrize("dtype", HALVES)
def test_asked_dtype(masked_lm, dtype):
    """With `torch_dtype=` given, every parameter is the trained one rounded to that dtype."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm, torch_dtype=dtype)

    assert changed(model, {name: tensor.to(dtype) for name, tensor in checkpoints.state().items()}) == []
