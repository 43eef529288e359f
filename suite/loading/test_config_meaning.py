"""Slides 18, 20 and 21: what the entries of a config decide, and what completes them."""

import contextlib
import inspect
import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTableQuestionAnswering,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    pipeline,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

from fixtures import checkpoints
from fixtures.checkpoints import SAMPLE_CONFIG

# The slide's sample, small enough to be built a hundred times.
TINY = SAMPLE_CONFIG | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "vocab_size": 300,
}
IDS = torch.tensor([[101, 7, 0, 299, 102]])


def written(folder: Path, content: object) -> str:
    """Make a folder whose config.json has this content; return its name as a student would type it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


def built(**entries: object) -> BertForPreTraining:
    """The model of the small sample with these entries changed, initialised from a seed, in evaluation mode."""
    torch.manual_seed(0)
    return BertForPreTraining(BertConfig.from_dict(TINY | entries)).eval()


# --- model_type: which code interprets the config ---------------------------------------------------------------------


@pytest.mark.claim("config.model-type")
def test_bert_means_bert_config(tmp_path):
    """A config of type `bert` becomes a `BertConfig` of `transformers.models.bert.configuration_bert`."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    assert type(config).__module__ == "transformers.models.bert.configuration_bert"
    assert type(config).__qualname__ == "BertConfig"


@pytest.mark.claim("config.model-type")
def test_its_file_is_the_one_that_the_slide_links():
    """The class stands in `transformers/models/bert/configuration_bert.py`."""
    path = Path(inspect.getsourcefile(BertConfig))
    assert path.parts[-4:] == ("transformers", "models", "bert", "configuration_bert.py")


@pytest.mark.parametrize("family", checkpoints.CLASSES)
@pytest.mark.claim("config.model-type.families")
def test_a_family_has_a_module_of_its_name(tmp_path, family):
    """`model_type` names the module that the config's class comes from."""
    config = AutoConfig.from_pretrained(written(tmp_path / "model", checkpoints.config(family, "base")))
    assert type(config).__module__ == f"transformers.models.{family}.configuration_{family}"
    assert config.model_type == family


MODELS = Path(transformers.__file__).parent / "models"


@pytest.mark.claim("config.model-type.every")
def test_every_type_has_a_module_of_its_name(evidence):
    """Each registered `model_type` has a file `models/<type>/configuration_<type>.py`."""
    elsewhere = [name for name in CONFIG_MAPPING_NAMES if not (MODELS / name / f"configuration_{name}.py").is_file()]
    evidence["registered"] = len(CONFIG_MAPPING_NAMES)
    evidence["elsewhere"] = sorted(elsewhere)
    assert elsewhere == []


@pytest.mark.correction("config.model-type.every")
def test_every_class_stands_in_some_configuration_module(evidence):
    """The class of each registered type is defined in a `configuration_*.py` below `models`."""
    sources = [path.read_text(encoding="utf-8") for path in MODELS.rglob("configuration_*.py")]
    defined = {name for source in sources for name in re.findall(r"^class (\w+)", source, re.MULTILINE)}
    evidence["files"] = len(sources)
    assert set(CONFIG_MAPPING_NAMES.values()) - defined == set()


def types_that_do_not_load(folder: Path) -> dict[str, str]:
    """Registered types whose bare config does not load -> the exception; missing optional packages do not count."""
    failed = {}
    for name in CONFIG_MAPPING_NAMES:
        (folder / "config.json").write_text(json.dumps({"model_type": name}), encoding="utf-8")
        try:
            AutoConfig.from_pretrained(folder)
        except ImportError:
            continue
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"[:300]
    return failed


@pytest.mark.slow
@pytest.mark.claim("config.model-type.suffices")
def test_a_type_is_all_that_a_config_needs(tmp_path, evidence):
    """A config.json with nothing but a registered `model_type` loads."""
    failed = types_that_do_not_load(tmp_path)
    evidence["failed"] = failed
    assert failed == {}


@pytest.mark.slow
@pytest.mark.correction("config.model-type.suffices")
def test_even_then_the_type_has_chosen_the_class(tmp_path):
    """Where a bare config does not load, the class is known; it is the class that refuses its own defaults."""
    for name in types_that_do_not_load(tmp_path):
        assert CONFIG_MAPPING[name].__name__ == CONFIG_MAPPING_NAMES[name]


@pytest.mark.claim("config.model-type.missing")
def test_without_a_type_no_class_is_chosen(tmp_path):
    """A config without `model_type` is refused, whatever its folder is called."""
    content = {name: value for name, value in SAMPLE_CONFIG.items() if name != "model_type"}
    chosen = None
    with contextlib.suppress(ValueError):
        chosen = type(AutoConfig.from_pretrained(written(tmp_path / "my-bert", content))).__name__
    assert chosen is None


@pytest.mark.correction("config.model-type.missing")
def test_without_a_type_the_name_decides(tmp_path):
    """Without `model_type`, a type's name within the path decides."""
    content = {name: value for name, value in SAMPLE_CONFIG.items() if name != "model_type"}
    assert type(AutoConfig.from_pretrained(written(tmp_path / "my-bert", content))) is BertConfig


@pytest.mark.parametrize("name", ["no-such-model", "BERT"])
@pytest.mark.claim("config.model-type.unknown")
def test_an_unknown_type_is_refused_by_its_name(tmp_path, evidence, name):
    """A type that is not registered is an error that names it; upper case is another name."""
    folder = written(tmp_path / "model", SAMPLE_CONFIG | {"model_type": name})
    with pytest.raises((ValueError, KeyError)) as refusal:
        AutoConfig.from_pretrained(folder)
    evidence["message"] = str(refusal.value)[:200]
    assert name in str(refusal.value)


@pytest.mark.claim("config.model-type.fits")
def test_a_type_that_does_not_fit_is_refused(tmp_path):
    """BERT's entries under another `model_type` are an error."""
    folder = written(tmp_path / "model", SAMPLE_CONFIG | {"model_type": "gpt2"})
    accepted = None
    with contextlib.suppress(ValueError):
        accepted = type(AutoConfig.from_pretrained(folder)).__name__
    assert accepted is None


@pytest.mark.correction("config.model-type.fits")
def test_a_type_that_does_not_fit_reads_what_it_understands(tmp_path):
    """GPT-2's class takes what it has a name for; BERT's other entries lie beside its own defaults."""
    config = AutoConfig.from_pretrained(written(tmp_path / "model", SAMPLE_CONFIG | {"model_type": "gpt2"}))
    assert type(config).__name__ == "GPT2Config"
    assert (config.n_embd, config.n_layer) == (SAMPLE_CONFIG["hidden_size"], SAMPLE_CONFIG["num_hidden_layers"])
    # GPT-2 calls this one `n_inner`: BERT's name means nothing to it.
    assert config.intermediate_size == SAMPLE_CONFIG["intermediate_size"]
    assert config.n_inner is None


@pytest.mark.claim("config.model-type.named-class")
def test_a_named_class_leaves_the_decision_to_the_type(tmp_path):
    """`BertConfig.from_pretrained` of a `gpt2` config is a `GPT2Config`."""
    config = BertConfig.from_pretrained(written(tmp_path / "model", checkpoints.config("gpt2", "base")))
    assert type(config).__name__ == "GPT2Config"


@pytest.mark.correction("config.model-type.named-class")
def test_a_named_class_decides_itself(tmp_path):
    """A class that is named reads any config as its own; what it does not find is its default."""
    config = BertConfig.from_pretrained(written(tmp_path / "model", checkpoints.config("gpt2", "base")))
    assert type(config) is BertConfig
    assert config.hidden_size == BertConfig().hidden_size  # gpt2 calls its 32 `n_embd`


OWN_CODE = """
from transformers import PretrainedConfig


class OwnConfig(PretrainedConfig):
    model_type = "bert"
"""


def with_own_code(folder: Path) -> str:
    """A checkpoint of type `bert` whose `auto_map` names a class in a file of the checkpoint."""
    name = written(folder, SAMPLE_CONFIG | {"auto_map": {"AutoConfig": "configuration_own.OwnConfig"}})
    (folder / "configuration_own.py").write_text(OWN_CODE, encoding="utf-8")
    return name


@pytest.mark.claim("config.model-type.trusted-code")
def test_bert_means_the_library_even_if_the_checkpoint_is_trusted(tmp_path):
    """With `trust_remote_code`, type `bert` still means `transformers.models.bert`."""
    config = AutoConfig.from_pretrained(with_own_code(tmp_path / "own_model"), trust_remote_code=True)
    assert type(config).__module__ == "transformers.models.bert.configuration_bert"


@pytest.mark.correction("config.model-type.trusted-code")
def test_auto_map_decides_if_the_checkpoint_is_trusted(tmp_path):
    """With `trust_remote_code`, `auto_map` goes before `model_type`: the checkpoint's own file is executed."""
    config = AutoConfig.from_pretrained(with_own_code(tmp_path / "own_model"), trust_remote_code=True)
    assert type(config).__name__ == "OwnConfig"
    assert type(config).__module__.startswith("transformers_modules.")


@pytest.mark.claim("config.model-type.untrusted-code")
def test_own_code_is_not_run_unasked(tmp_path):
    """Without `trust_remote_code` a registered type is read by the library; the checkpoint's file is not run."""
    assert type(AutoConfig.from_pretrained(with_own_code(tmp_path / "own_model"))) is BertConfig


@pytest.mark.correction("config.model-type.untrusted-code")
def test_own_code_has_to_be_trusted(tmp_path):
    """Without `trust_remote_code` the checkpoint is refused; its file is not run: of a known type or not."""
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoConfig.from_pretrained(with_own_code(tmp_path / "own_model"))


# --- defaults: how the dictionary is completed ------------------------------------------------------------------------


@pytest.mark.claim("config.defaults")
def test_the_sample_is_kept_and_the_rest_is_default(tmp_path, evidence):
    """What the slide's sample says stays; whatever else `BertConfig` has is as in `BertConfig()`."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    completed, defaults = config.to_dict(), BertConfig().to_dict()
    # Where a config came from is no setting of the model.
    filled = defaults.keys() - SAMPLE_CONFIG.keys() - {"_name_or_path", "_commit_hash"}
    evidence["filled in"] = sorted(filled)
    assert isinstance(config, BertConfig)
    assert {name: completed[name] for name in SAMPLE_CONFIG} == SAMPLE_CONFIG
    assert {name: completed[name] for name in filled} == {name: defaults[name] for name in filled}


@pytest.mark.claim("config.defaults.empty")
def test_the_empty_dictionary_is_all_defaults():
    """An empty dictionary makes the same config as no argument at all."""
    assert BertConfig.from_dict({}).to_dict() == BertConfig().to_dict()


@pytest.mark.claim("config.defaults.each")
def test_each_entry_that_is_missing_gets_its_default():
    """Take any one entry out of the complete dictionary: the class puts its default back."""
    complete = BertConfig().to_dict()
    for name in complete.keys() - {"id2label", "label2id"}:  # they go together: see the labels below
        partial = {other: value for other, value in complete.items() if other != name}
        assert BertConfig.from_dict(partial).to_dict()[name] == complete[name], name


@pytest.mark.claim("config.defaults.each")
def test_the_defaults_are_those_of_the_class_signature():
    """The defaults are the ones that `BertConfig`'s signature shows."""
    shown = {name: parameter.default for name, parameter in inspect.signature(BertConfig).parameters.items()}
    # None stands for a value that is worked out, as the labels are.
    shown = {name: value for name, value in shown.items() if value not in (None, inspect.Parameter.empty)}
    config = BertConfig.from_dict({})
    assert "hidden_size" in shown
    assert {name: getattr(config, name) for name in shown} == shown


LABELS = {"id2label": {0: "worse", 1: "same", 2: "better"}, "label2id": {"worse": 0, "same": 1, "better": 2}}


@pytest.mark.parametrize(("given", "missing"), [("id2label", "label2id"), ("label2id", "id2label")])
@pytest.mark.claim("config.defaults.labels")
def test_one_map_of_labels_is_completed_by_the_other(given, missing):
    """Of the two maps between ids and labels, the missing one follows from the other."""
    config = BertConfig.from_dict({given: LABELS[given]})
    assert getattr(config, missing) == LABELS[missing]


@pytest.mark.correction("config.defaults.labels")
def test_each_map_of_labels_is_completed_by_itself():
    """`id2label` alone leaves no `label2id`; `label2id` alone stands beside the two default labels."""
    assert BertConfig.from_dict({"id2label": LABELS["id2label"]}).label2id is None
    assert BertConfig.from_dict({"label2id": LABELS["label2id"]}).id2label == {0: "LABEL_0", 1: "LABEL_1"}


# https://huggingface.co/docs/transformers/model_doc/bert#transformers.BertConfig
DOCUMENTED = {
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "use_cache": True,
    "is_decoder": False,
    "classifier_dropout": None,
}


@pytest.mark.parametrize(("name", "value"), DOCUMENTED.items())
@pytest.mark.claim("config.defaults.documented")
def test_a_default_is_the_documented_one(name, value):
    """The defaults are the documented ones."""
    assert getattr(BertConfig.from_dict({}), name) == value


@pytest.mark.claim("config.defaults.null")
def test_null_counts_as_missing():
    """An entry that is `null` is completed, too."""
    assert BertConfig.from_dict({"pad_token_id": None}).pad_token_id == BertConfig().pad_token_id


@pytest.mark.correction("config.defaults.null")
def test_null_is_a_value():
    """`null` is a value like any other: it replaces the default."""
    assert BertConfig.from_dict({"pad_token_id": None}).pad_token_id is None


def unknown_entries() -> list[str]:
    """Entries of the sample that `BertConfig` has no default for."""
    return sorted(SAMPLE_CONFIG.keys() - BertConfig().to_dict().keys())


@pytest.mark.claim("config.defaults.knows-the-sample")
def test_the_class_knows_every_entry_of_the_sample(evidence):
    """`BertConfig` has a default for each entry of the sample."""
    unknown = unknown_entries()
    evidence["unknown"] = unknown
    assert unknown == []


@pytest.mark.correction("config.defaults.knows-the-sample")
def test_the_class_does_not_know_six_entries_of_the_sample():
    """`directionality` and the five `pooler_` entries are none of `BertConfig`'s."""
    unknown = unknown_entries()
    assert set(unknown) == {"directionality"} | {name for name in SAMPLE_CONFIG if name.startswith("pooler_")}
    assert len(unknown) == 6


@pytest.mark.claim("config.defaults.unknown-kept")
def test_unknown_entries_are_kept(tmp_path, evidence):
    """Entries that `BertConfig` does not know become attributes and are saved again."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    unknown = {name: SAMPLE_CONFIG[name] for name in unknown_entries()}
    evidence["unknown"] = unknown
    assert {name: getattr(config, name) for name in unknown} == unknown
    config.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    assert {name: saved[name] for name in unknown} == unknown


GENERATION = {"max_length": 33, "num_beams": 4, "temperature": 0.5}


@pytest.mark.parametrize(("name", "value"), GENERATION.items())
@pytest.mark.claim("config.defaults.generation-kept")
def test_settings_of_generation_are_kept(name, value):
    """Settings of text generation in the dictionary are on the config."""
    assert getattr(BertConfig.from_dict({name: value}), name, None) == value


@pytest.mark.parametrize(("name", "value"), GENERATION.items())
@pytest.mark.correction("config.defaults.generation-kept")
def test_settings_of_generation_are_dropped(name, value):
    """Settings of text generation are taken out of the dictionary: they belong to `generation_config.json`."""
    assert not hasattr(BertConfig.from_dict({name: value}), name)


def taken_over(name: str, value: object) -> object:
    """What a config made of one entry has there; what it raises, if it refuses the entry.

    The class of that error is younger than many releases, so that it cannot be named here.
    """
    try:
        return getattr(BertConfig.from_dict({name: value}), name)
    except Exception as refusal:
        return refusal


MISTYPED = {"hidden_size": "32", "num_hidden_layers": 2.0, "hidden_act": 3, "use_cache": "yes", "vocab_size": None}


@pytest.mark.parametrize(("name", "value"), MISTYPED.items())
@pytest.mark.claim("config.defaults.any-type")
def test_a_value_of_any_type_is_instantiated(name, value):
    """The dictionary is instantiated as it is: a value of the wrong type is on the config."""
    assert taken_over(name, value) == value


@pytest.mark.parametrize(("name", "value"), MISTYPED.items())
@pytest.mark.correction("config.defaults.any-type")
def test_a_value_of_the_wrong_type_is_refused(evidence, name, value):
    """A value of the wrong type is refused when the config is made, by the entry's name."""
    refusal = taken_over(name, value)
    evidence["refusal"] = f"{type(refusal).__name__}: {refusal}"
    assert isinstance(refusal, Exception)
    assert name in str(refusal)


@pytest.mark.parametrize(("name", "value"), [("initializer_range", 1), ("layer_norm_eps", 0)])
@pytest.mark.claim("config.defaults.whole-number")
def test_a_whole_number_is_a_number(name, value):
    """JSON has one kind of number: 1 is as good as 1.0."""
    assert taken_over(name, value) == value


@pytest.mark.parametrize(("name", "value"), [("initializer_range", 1), ("layer_norm_eps", 0)])
@pytest.mark.correction("config.defaults.whole-number")
def test_a_whole_number_is_refused_where_the_class_says_float(name, value):
    """Where the class says `float`, a JSON number without a point is refused; with one it is taken."""
    assert isinstance(taken_over(name, value), Exception)
    assert taken_over(name, float(value)) == value


@pytest.mark.claim("config.defaults.consistent")
def test_sizes_that_cannot_be_are_refused():
    """A width that the heads do not divide is refused when the config is made."""
    made = None
    with contextlib.suppress(ValueError):
        made = BertConfig.from_dict(TINY | {"hidden_size": 30, "num_attention_heads": 4})
    assert made is None


@pytest.mark.correction("config.defaults.consistent")
def test_sizes_that_cannot_be_are_refused_by_the_model():
    """The config takes any sizes; it is the model that refuses them."""
    config = BertConfig.from_dict(TINY | {"hidden_size": 30, "num_attention_heads": 4})
    with pytest.raises(ValueError, match="30"):
        BertModel(config)


# Settings that mean something to BERT, and entries that mean nothing to it, with any JSON in them.
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "vocab_size": st.integers(1, 10**6),
        "hidden_size": st.integers(1, 10**4),
        "num_hidden_layers": st.integers(0, 100),
        "num_attention_heads": st.integers(1, 64),
        "intermediate_size": st.integers(1, 10**5),
        "hidden_act": st.sampled_from(["gelu", "relu", "gelu_new", "tanh"]),
        "hidden_dropout_prob": st.floats(0, 1),
        "attention_probs_dropout_prob": st.floats(0, 1),
        "max_position_embeddings": st.integers(1, 10**5),
        "initializer_range": st.floats(0, 10),
        "layer_norm_eps": st.floats(0, 1),
        "pad_token_id": st.none() | st.just(0),
        "num_labels": st.integers(1, 20),
        "architectures": st.lists(st.text(max_size=20), max_size=3),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
STRANGE = st.dictionaries(st.sampled_from(["own_entry", "Own-Entry", "eigener Eintrag", "自"]), JSON, max_size=2)


def said(config: BertConfig) -> dict[str, object]:
    """What a config says about the model: not where it was read, nor by which release it was written."""
    said = config.to_dict()
    return {name: said[name] for name in said.keys() - {"_name_or_path", "_commit_hash", "transformers_version"}}


@given(known=KNOWN, strange=STRANGE)
@settings(max_examples=25)
@pytest.mark.claim("config.defaults.file-round-trip")
def test_a_config_survives_its_file(tmp_path_factory, known, strange):
    """`save_pretrained`, then `from_pretrained`: the same config, unknown entries included."""
    folder = tmp_path_factory.mktemp("config")
    config = BertConfig(**known, **strange)
    config.save_pretrained(folder)
    assert said(AutoConfig.from_pretrained(folder)) == said(config)


@given(known=KNOWN, strange=STRANGE)
@settings(max_examples=50)
@pytest.mark.claim("config.defaults.dict-round-trip")
def test_a_config_survives_its_dictionary(known, strange):
    """`to_dict`, then `from_dict`: the same config, unknown entries included."""
    config = BertConfig(**known, **strange)
    assert said(BertConfig.from_dict(config.to_dict())) == said(config)


# --- other items: what each does to the model -------------------------------------------------------------------------

# Another value for each entry of the sample but the two that the slide treats by themselves.
CHANGED = {
    "attention_probs_dropout_prob": 0.5,
    "directionality": "unidi",
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.5,
    "hidden_size": 64,
    "initializer_range": 0.5,
    "intermediate_size": 128,
    "layer_norm_eps": 0.5,
    "max_position_embeddings": 50,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pad_token_id": 1,
    "pooler_fc_size": 16,
    "pooler_num_attention_heads": 1,
    "pooler_num_fc_layers": 1,
    "pooler_size_per_head": 16,
    "pooler_type": "mean",
    "type_vocab_size": 3,
    "vocab_size": 400,
}


def observed(model: BertForPreTraining) -> list[torch.Tensor]:
    """Everything that can be seen of a model: its tensors, its outputs in evaluation and, from a seed, in training."""
    outputs = []
    for training in (False, True):
        torch.manual_seed(1)
        outputs += model.train(training)(input_ids=IDS).to_tuple()
    return [*model.state_dict().values(), *outputs]


def identical(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def entries_without_effect() -> list[str]:
    """Entries of the sample that can be changed without a trace in the model."""
    before = observed(built())
    if not identical(before, observed(built())):
        raise RuntimeError("the same config made two models: each entry would seem to have an effect")
    others = SAMPLE_CONFIG.keys() - {"architectures", "model_type"}
    return sorted(name for name in others if identical(before, observed(built(**{name: CHANGED[name]}))))


@pytest.mark.claim("config.other-items")
def test_each_other_entry_decides_something(evidence):
    """Change any other entry of the sample, and another model is built: other tensors, or other outputs."""
    without_effect = entries_without_effect()
    evidence["without effect"] = without_effect
    assert without_effect == []


@pytest.mark.correction("config.other-items")
def test_six_entries_of_the_sample_decide_nothing():
    """Nothing reads the entries that `BertConfig` does not know: tensors and outputs stay the same, bit by bit."""
    assert entries_without_effect() == unknown_entries()


@pytest.mark.claim("config.other-items.vocab-size")
def test_vocab_size_is_the_number_of_embeddings_and_of_logits():
    """`vocab_size` is the height of the embedding table and the width of the masked-language head's logits."""
    model = built(vocab_size=500)
    assert model.get_input_embeddings().weight.shape == (500, 32)
    assert model(input_ids=IDS).prediction_logits.shape == (1, 5, 500)


@pytest.mark.claim("config.other-items.vocab-size")
def test_a_token_beyond_vocab_size_is_refused():
    """The id `vocab_size` itself has no embedding."""
    model = built(vocab_size=300)
    model(input_ids=torch.tensor([[299]]))
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[300]]))


@pytest.mark.claim("config.other-items.hidden-size")
def test_hidden_size_is_the_width_of_the_model():
    """`hidden_size` is the width of the embeddings and of each layer's output."""
    hidden = built(hidden_size=48)(input_ids=IDS, output_hidden_states=True).hidden_states
    assert {tuple(states.shape) for states in hidden} == {(1, 5, 48)}


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.claim("config.other-items.num-hidden-layers")
def test_num_hidden_layers_is_the_number_of_layers(layers):
    """`num_hidden_layers` layers follow the embeddings."""
    hidden = built(num_hidden_layers=layers)(input_ids=IDS, output_hidden_states=True).hidden_states
    assert len(hidden) == 1 + layers


@pytest.mark.claim("config.other-items.num-attention-heads")
def test_num_attention_heads_is_the_number_of_attention_maps():
    """Each layer has `num_attention_heads` attention maps."""
    config = BertConfig.from_dict(TINY | {"num_attention_heads": 4})
    config.output_attentions = True
    attentions = BertForPreTraining(config)(input_ids=IDS).attentions
    assert [tuple(maps.shape) for maps in attentions] == [(1, 4, 5, 5)] * 2


@pytest.mark.claim("config.other-items.num-attention-heads")
def test_num_attention_heads_changes_outputs_but_no_parameter():
    """The number of heads changes no tensor: a checkpoint loads under a wrong one without complaint."""
    two, four = built(num_attention_heads=2), built(num_attention_heads=4)
    assert identical(list(two.state_dict().values()), list(four.state_dict().values()))
    assert not torch.allclose(two(input_ids=IDS).prediction_logits, four(input_ids=IDS).prediction_logits)


@pytest.mark.claim("config.other-items.intermediate-size")
def test_intermediate_size_is_the_width_between_the_two_linear_maps():
    """Each layer's feed-forward part goes from `hidden_size` to `intermediate_size` and back."""
    for layer in built(intermediate_size=96).bert.encoder.layer:
        assert layer.intermediate.dense.weight.shape == (96, 32)
        assert layer.output.dense.weight.shape == (32, 96)


@pytest.mark.parametrize("activation", ["gelu", "relu", "tanh"])
@pytest.mark.claim("config.other-items.hidden-act")
def test_hidden_act_is_the_activation_of_the_feed_forward_part(activation):
    """`hidden_act` names the function between the two linear maps of a layer."""
    function = {"gelu": torch.nn.functional.gelu, "relu": torch.relu, "tanh": torch.tanh}[activation]
    intermediate = built(hidden_act=activation).bert.encoder.layer[0].intermediate
    # Large enough for `gelu` and its approximations to differ.
    states = 20 * torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(intermediate(states), function(intermediate.dense(states)))


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.claim("config.other-items.hidden-dropout-prob")
def test_hidden_dropout_prob_is_the_dropout_outside_of_attention(rate):
    """All dropout but that of the attention maps has `hidden_dropout_prob`; at 0, training is without noise."""
    model = built(hidden_dropout_prob=rate, attention_probs_dropout_prob=0.0)
    dropout = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {p for name, p in dropout.items() if "attention.self" not in name} == {rate}
    evaluated = model(input_ids=IDS).prediction_logits
    assert torch.equal(model.train()(input_ids=IDS).prediction_logits, evaluated) is (rate == 0)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.claim("config.other-items.attention-probs-dropout-prob")
def test_attention_probs_dropout_prob_is_the_dropout_of_attention(rate):
    """The attention maps' dropout has `attention_probs_dropout_prob`; at 0, training is without noise."""
    model = built(hidden_dropout_prob=0.0, attention_probs_dropout_prob=rate)
    dropout = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {p for name, p in dropout.items() if "attention.self" in name} == {rate}
    evaluated = model(input_ids=IDS).prediction_logits
    assert torch.equal(model.train()(input_ids=IDS).prediction_logits, evaluated) is (rate == 0)


@pytest.mark.claim("config.other-items.max-position-embeddings")
def test_max_position_embeddings_is_the_longest_text():
    """A text of `max_position_embeddings` tokens is read, one more is refused."""
    model = built(max_position_embeddings=40)
    assert model(input_ids=torch.ones(1, 40, dtype=torch.long)).prediction_logits.shape == (1, 40, 300)
    with pytest.raises((RuntimeError, IndexError)):
        model(input_ids=torch.ones(1, 41, dtype=torch.long))


@pytest.mark.claim("config.other-items.type-vocab-size")
def test_type_vocab_size_is_the_number_of_segments():
    """Segment ids go from 0 to `type_vocab_size` - 1."""
    model = built(type_vocab_size=3)
    model(input_ids=IDS, token_type_ids=torch.full_like(IDS, 2))
    with pytest.raises(IndexError):
        model(input_ids=IDS, token_type_ids=torch.full_like(IDS, 3))


@pytest.mark.parametrize("scale", [0.02, 0.5])
@pytest.mark.claim("config.other-items.initializer-range")
def test_initializer_range_is_the_standard_deviation_of_fresh_weights(scale):
    """A new model's weights are normal with mean 0 and standard deviation `initializer_range`."""
    modules = built(initializer_range=scale).bert.encoder.modules()
    weights = torch.cat([module.weight.detach().flatten() for module in modules if isinstance(module, torch.nn.Linear)])
    # The squares of n standard normals add up to a chi-square variable with n = 16,384 degrees of freedom. By chance
    # one seed in 10^9 leaves these bounds; a scale that is 10 % off stays within them with less than that.
    squares = float((weights.double() / scale).square().sum())
    assert chi2.ppf(5e-10, len(weights)) < squares < chi2.isf(5e-10, len(weights))


@pytest.mark.claim("config.other-items.layer-norm-eps")
def test_layer_norm_eps_is_that_of_every_layer_norm():
    """Each LayerNorm of the model adds `layer_norm_eps` to the variance that it divides by."""
    norms = [module for module in built(layer_norm_eps=0.25).modules() if isinstance(module, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {0.25}
    states = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    variance = states.var(-1, unbiased=False, keepdim=True)
    expected = (states - states.mean(-1, keepdim=True)) / torch.sqrt(variance + 0.25)
    torch.testing.assert_close(norms[0](states), expected)  # weight 1 and bias 0 in a new model


@pytest.mark.claim("config.other-items.pad-token-id")
def test_pad_token_id_is_the_embedding_that_does_not_learn():
    """The embedding of `pad_token_id` starts at zero and gets no gradient."""
    embeddings = built(pad_token_id=7).get_input_embeddings()
    assert not embeddings.weight[7].any()
    embeddings(IDS).sum().backward()
    assert not embeddings.weight.grad[7].any()
    assert embeddings.weight.grad[101].all()


@pytest.mark.claim("config.other-items.pad-token-masks")
def test_pad_token_id_decides_what_is_attended_to():
    """Without an `attention_mask`, padding is left out of attention."""
    model = built(pad_token_id=0)
    padded = torch.tensor([[101, 7, 102, 0, 0]])
    masked = model(input_ids=padded, attention_mask=(padded != 0).long()).prediction_logits
    torch.testing.assert_close(model(input_ids=padded).prediction_logits[:, :3], masked[:, :3])


@pytest.mark.correction("config.other-items.pad-token-masks")
def test_padding_is_attended_to_without_a_mask():
    """Without an `attention_mask`, padding is attended to like any token."""
    model = built(pad_token_id=0)
    padded = torch.tensor([[101, 7, 102, 0, 0]])
    everything = model(input_ids=padded, attention_mask=torch.ones_like(padded)).prediction_logits
    torch.testing.assert_close(model(input_ids=padded).prediction_logits, everything)


COMMON = ("hidden_size", "num_hidden_layers", "num_attention_heads")


@pytest.mark.claim("config.other-items.same-names")
def test_the_common_entries_have_the_same_names_in_every_family(evidence):
    """Each family's config.json calls its sizes as the sample does."""
    stored = {family: json.loads(AutoConfig.for_model(family).to_json_string()) for family in checkpoints.CLASSES}
    absent = {family: [name for name in COMMON if name not in content] for family, content in stored.items()}
    evidence["absent"] = {family: names for family, names in absent.items() if names}
    assert not any(absent.values())


@pytest.mark.parametrize("family", checkpoints.CLASSES)
@pytest.mark.correction("config.other-items.same-names")
def test_the_common_entries_can_be_read_by_the_same_names(tmp_path, family):
    """Families have names of their own in the file; the config answers to the common ones, too."""
    config = AutoConfig.from_pretrained(written(tmp_path / "model", checkpoints.config(family, "base")))
    assert [getattr(config, name) for name in COMMON] == [32, 2, 2]


# --- architectures: does it decide the task and the head? -------------------------------------------------------------

AUTO_CLASSES = {
    AutoModel: "BertModel",
    AutoModelForSequenceClassification: "BertForSequenceClassification",
    AutoModelForTokenClassification: "BertForTokenClassification",
    AutoModelForCausalLM: "BertLMHeadModel",
}


@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
@pytest.mark.claim("config.architectures")
def test_architectures_decides_the_head(tmp_path, auto_class):
    """A checkpoint whose `architectures` names BertForMaskedLM is loaded as BertForMaskedLM."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm")
    assert type(auto_class.from_pretrained(checkpoint)).__name__ == "BertForMaskedLM"


@pytest.mark.parametrize(("auto_class", "expected"), AUTO_CLASSES.items())
@pytest.mark.correction("config.architectures")
def test_the_auto_class_decides_the_head(tmp_path, auto_class, expected):
    """The Auto class decides; `architectures` is not asked."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm")
    assert type(auto_class.from_pretrained(checkpoint)).__name__ == expected


@pytest.mark.parametrize("architectures", [None, [], ["NoSuchModel"], ["GPT2LMHeadModel"]])
@pytest.mark.claim("config.architectures.needed")
def test_without_a_right_architecture_no_head_is_chosen(architectures):
    """Where `architectures` is missing or names no class of the family, a model with a head cannot be made."""
    config = BertConfig.from_dict(TINY | {"architectures": architectures})
    made = None
    with contextlib.suppress(ValueError, KeyError, AttributeError):
        made = type(AutoModelForMaskedLM.from_config(config)).__name__
    assert made is None


@pytest.mark.parametrize("architectures", [None, [], ["NoSuchModel"], ["GPT2LMHeadModel"]])
@pytest.mark.correction("config.architectures.needed")
def test_a_model_is_made_whatever_architectures_says(architectures):
    """A model is made even if `architectures` is missing or nonsense."""
    config = BertConfig.from_dict(TINY | {"architectures": architectures})
    assert type(AutoModelForMaskedLM.from_config(config)) is BertForMaskedLM


@pytest.mark.claim("config.architectures.agrees")
def test_architectures_names_the_model_in_memory(tmp_path):
    """The `architectures` of a loaded model's config names the model's class."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm")
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert model.config.architectures == ["BertForSequenceClassification"]


@pytest.mark.correction("config.architectures.agrees")
def test_architectures_names_what_was_on_disk(tmp_path):
    """In memory, `architectures` is a remark about the file that was read."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm")
    assert AutoModelForSequenceClassification.from_pretrained(checkpoint).config.architectures == ["BertForMaskedLM"]


@pytest.mark.claim("config.architectures.written-by-model")
def test_saving_a_model_writes_architectures(tmp_path):
    """`model.save_pretrained` writes the class of the model, over whatever the config said."""
    config = BertConfig.from_dict(TINY | {"architectures": ["BertForMaskedLM"]})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).architectures == ["BertForSequenceClassification"]


@pytest.mark.parametrize("architectures", [None, ["NoSuchModel"]])
@pytest.mark.claim("config.architectures.not-written-by-config")
def test_saving_a_config_leaves_architectures_alone(tmp_path, architectures):
    """`config.save_pretrained` writes what the config says, checked against nothing."""
    BertConfig.from_dict(TINY | {"architectures": architectures}).save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).architectures == architectures


@pytest.mark.claim("config.architectures.pipeline")
def test_a_pipeline_takes_the_class_from_architectures(tmp_path):
    """A pipeline runs the class that `architectures` names."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    classifier = pipeline("text-classification", model=str(checkpoint))
    assert type(classifier.model).__name__ == "BertForMaskedLM"


@pytest.mark.correction("config.architectures.pipeline")
def test_a_pipeline_takes_the_class_from_its_task(tmp_path):
    """The pipeline's task decides the class."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    classifier = pipeline("text-classification", model=str(checkpoint))
    assert type(classifier.model).__name__ == "BertForSequenceClassification"


@pytest.mark.claim("config.architectures.pipeline-fallback")
def test_a_pipeline_falls_back_on_architectures(tmp_path):
    """Where the task has no class for the model type, the pipeline takes the one that `architectures` names."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    with pytest.raises(ValueError, match="BertConfig"):
        AutoModelForTableQuestionAnswering.from_pretrained(checkpoint)
    fallen_back = pipeline("table-question-answering", model=str(checkpoint))
    assert type(fallen_back.model).__name__ == "BertForMaskedLM"


@pytest.mark.correction("config.architectures.pipeline-fallback")
def test_a_pipeline_has_to_be_given_the_model(tmp_path):
    """The class gets a keyword that it does not know, and the pipeline gives up; a model that is given is taken."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    with pytest.raises(ValueError, match=r"Could not load model[\s\S]* unexpected keyword argument 'code_revision'"):
        pipeline("table-question-answering", model=str(checkpoint))
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    given = pipeline("table-question-answering", model=model, tokenizer=tokenizer)
    assert given.model is model


@pytest.mark.claim("config.architectures.pipeline-task")
@pytest.mark.needs("transformers>=4.25")  # before, the address of the Hub is fixed there
def test_a_pipeline_without_a_task_reads_architectures(hub, tmp_path):
    """`pipeline(model=...)` works out the task from `architectures`."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    hub.model("tiny/bert", checkpoint, pipeline_tag="text-classification", library_name="transformers")
    assert pipeline(model="tiny/bert").task == "fill-mask"


@pytest.mark.correction("config.architectures.pipeline-task")
@pytest.mark.needs("transformers>=4.25")  # before, the address of the Hub is fixed there
def test_a_pipeline_without_a_task_asks_the_hub(hub, tmp_path):
    """`pipeline(model=...)` takes the `pipeline_tag` that the Hub tells, whatever the config says."""
    checkpoint = checkpoints.write(tmp_path / "model", "bert", "masked-lm", with_tokenizer=True)
    hub.model("tiny/bert", checkpoint, pipeline_tag="text-classification", library_name="transformers")
    classifier = pipeline(model="tiny/bert")
    assert classifier.task == "text-classification"
    assert type(classifier.model).__name__ == "BertForSequenceClassification"


# --- the sample: whose config is it? ----------------------------------------------------------------------------------

# The number of lines of vocab.txt in https://huggingface.co/google-bert/bert-base-uncased and .../bert-base-chinese.
UNCASED, CHINESE = 30_522, 21_128


@pytest.mark.claim("config.sample-is-base-uncased")
def test_the_sample_has_the_vocabulary_of_base_uncased(tmp_path):
    """The sample's vocabulary is as large as that of bert-base-uncased."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    assert config.vocab_size == UNCASED


@pytest.mark.correction("config.sample-is-base-uncased")
def test_the_sample_has_the_vocabulary_of_base_chinese(tmp_path):
    """The sample's vocabulary is as large as that of bert-base-chinese."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    assert config.vocab_size == CHINESE


@pytest.mark.correction("config.sample-is-base-uncased")
def test_weights_for_the_vocabulary_of_base_uncased_do_not_fit_the_sample(tmp_path):
    """Parameters for 30,522 tokens are refused under the sample's vocabulary size."""
    narrow = TINY | {"hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 4, "vocab_size": UNCASED}
    BertModel(BertConfig.from_dict(narrow)).save_pretrained(tmp_path)
    config = BertConfig.from_dict(narrow | {"vocab_size": SAMPLE_CONFIG["vocab_size"]})
    with pytest.raises(RuntimeError):
        BertModel.from_pretrained(tmp_path, config=config)


@pytest.mark.claim("config.sample-is-base-uncased.sizes")
def test_the_sample_has_the_other_sizes_of_base_uncased(tmp_path):
    """Whatever else `BertConfig` documents, with the values of bert-base-uncased, is the same in the sample."""
    config = AutoConfig.from_pretrained(written(tmp_path / "sample", SAMPLE_CONFIG))
    others = DOCUMENTED.keys() - {"vocab_size"}
    assert {name: getattr(config, name) for name in others} == {name: DOCUMENTED[name] for name in others}
