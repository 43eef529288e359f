"""Slides 17, 18 and 22: every Auto class that the release exports, over checkpoints of seven model families."""

import functools
import importlib
import inspect
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec

import pytest
import torch
import transformers
from huggingface_hub.utils import HFValidationError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from fixtures import checkpoints, messages
from fixtures.normal import assert_normal

# New parameters and masks are drawn from torch's global generator.
pytestmark = pytest.mark.usefixtures("seeded")

FAMILIES = tuple(checkpoints.CLASSES)
AUTO_CLASSES = [name for name in dir(transformers) if name == "AutoModel" or name.startswith("AutoModelFor")]


def usual_head(family):
    """The head of the checkpoint that is loaded where no other is named: a language model, as they are published."""
    return {"gpt2": "causal-lm", "t5": "seq2seq"}.get(family, "masked-lm")


# The Auto class that a head belongs to.
AUTO_CLASS_OF = {
    "base": "AutoModel",
    "masked-lm": "AutoModelForMaskedLM",
    "pretraining": "AutoModelForPreTraining",
    "classification": "AutoModelForSequenceClassification",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}

# Where a model has a pooler that a checkpoint saved with a language-model head lacks.
NEW_POOLER = {
    ("AutoModel", "bert"),
    ("AutoModel", "roberta"),
    ("AutoModel", "albert"),
    ("AutoModelForTextEncoding", "bert"),
    ("AutoModelForTextEncoding", "roberta"),
    ("AutoModelForTextEncoding", "albert"),
    ("AutoModelForMultipleChoice", "bert"),
    ("AutoModelForMultipleChoice", "roberta"),
    ("AutoModelForMultipleChoice", "albert"),
    ("AutoModelForPreTraining", "bert"),
    ("AutoModelForPreTraining", "albert"),
    ("AutoModelForSequenceClassification", "bert"),
    ("AutoModelForSequenceClassification", "albert"),
    ("AutoModelForNextSentencePrediction", "bert"),
}

# Where a model is T5's encoder alone, and the release that brought it.
T5_ENCODERS = {
    ("AutoModelForTextEncoding", "t5"): "transformers>=4.31",
    ("AutoModelForTokenClassification", "t5"): "transformers>=4.38",
}


def accepts(auto_class, family):
    """Whether the release says that this Auto class has a model class for the family."""
    return CONFIG_MAPPING[family] in getattr(transformers, auto_class)._model_mapping


PAIRS = [(auto_class, family) for auto_class in AUTO_CLASSES for family in FAMILIES]
ACCEPTED = [pair for pair in PAIRS if accepts(*pair)]
REFUSED = [pair for pair in PAIRS if not accepts(*pair)]
TEXT_CLASSES = {auto_class for auto_class, _ in ACCEPTED}


def cases(claim, *exceptions):
    """One case of `claim` per accepted pair; but the pairs in a set of exceptions are of the claim named after it.

    T5's encoders, where they are exceptions, are not-run on releases without them, since they are all that there is.
    """
    claim_of = {pair: other for some, other in zip(exceptions[::2], exceptions[1::2], strict=True) for pair in some}
    parameters = []
    for pair in [*ACCEPTED, *(pair for pair in T5_ENCODERS if pair in claim_of and pair not in ACCEPTED)]:
        marks = [pytest.mark.claim(claim_of.get(pair, claim))]
        if pair in claim_of and pair in T5_ENCODERS:
            marks.append(pytest.mark.needs(T5_ENCODERS[pair]))
        parameters.append(pytest.param(*pair, id="-".join(pair), marks=marks))
    return pytest.mark.parametrize(("auto_class", "family"), parameters)


@dataclass(frozen=True)
class Loaded:
    """A model and what was said of its loading.

    `missing` and `unexpected` are what the library reports, `missing` without buffers (older releases stored such
    things as GPT-2's causal mask). `warnings` are the messages that were logged, `words` the names and words in them.
    """

    model: PreTrainedModel
    missing: set
    unexpected: set
    warnings: tuple
    words: set

    def bare(self, names):
        """Names without the prefix that an encoder's parameters have below a head."""
        return {name.removeprefix(f"{self.model.base_model_prefix}.") for name in names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """family, head -> the folder of such a checkpoint. A pickle: all releases read it."""

    @functools.cache
    def write(family, head):
        name = f"{family}-{head}"
        return checkpoints.write(tmp_path_factory.mktemp("checkpoints") / name, family, head, weights="bin")

    return write


def words(text):
    """The names and words in a message."""
    return set(re.findall(r"[\w.]+", text))


@pytest.fixture(scope="module")
def load(folder, seed):
    """Auto class, family, head -> what came of it under the run's seed. Many specs look at one load."""

    @functools.cache
    def load(auto_class, family, head=None):
        path = folder(family, head or usual_head(family))
        with torch.random.fork_rng(devices=[]), messages.logged() as records:
            torch.default_generator.manual_seed(seed)
            model, info = getattr(transformers, auto_class).from_pretrained(path, output_loading_info=True)
        texts = tuple(record.getMessage().replace(str(path), path.name) for record in records)
        named = {word for text in texts for word in words(text)}
        loaded = Loaded(model, set(info["missing_keys"]), set(info["unexpected_keys"]), texts, named)
        buffers = loaded.bare(name for name, _ in model.named_buffers())
        missing = {name for name in loaded.missing if not loaded.bare([name]) <= buffers}
        return replace(loaded, missing=missing)

    return load


@functools.cache
def trained(family):
    """The parameters of the checkpoint with the usual head."""
    return checkpoints.state(family, usual_head(family))


@functools.cache
def base(family):
    """Names of the parameters of the family's base model: embeddings, layers and, in some, a pooler."""
    return checkpoints.state(family, "base").keys()


# --- slide 17: the Auto classes cover it all --------------------------------------------------------------------------


@pytest.mark.claim("load.auto-classes-cover")
def test_auto_classes_give_all_that_a_model_needs(tmp_path, evidence):
    """From one checkpoint: config, tokenizer, architecture with its task, trained parameters; together they run."""
    checkpoints.write(tmp_path / "model", "bert", "masked-lm", weights="bin", with_tokenizer=True)
    config = AutoConfig.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    inputs = tokenizer("the town of the river", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    evidence["classes"] = [type(part).__name__ for part in (config, tokenizer, model)]
    evidence["logits"] = list(logits.shape)
    assert type(config).__name__ == "BertConfig"
    assert type(model).__name__ == "BertForMaskedLM"
    assert logits.shape == (1, inputs["input_ids"].shape[1], config.vocab_size)


@pytest.mark.claim("load.auto-classes-cover.named")
@pytest.mark.parametrize(
    "name",
    ["AutoConfig", "AutoTokenizer", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification"],
)
def test_the_named_auto_classes_exist(name):
    """The five classes that slide 17 names can be imported and have `from_pretrained`."""
    assert callable(getattr(importlib.import_module("transformers"), name).from_pretrained)


@pytest.mark.claim("load.auto-classes-cover.tasks")
@pytest.mark.parametrize("name", AUTO_CLASSES)
def test_every_auto_class_has_model_classes(name, evidence):
    """Each `AutoModel...` loads and makes models, of at least one model type."""
    auto_class = getattr(transformers, name)
    # The names under which the mapping imports its classes: importing them all would take seconds.
    evidence["model types"] = len(auto_class._model_mapping._model_mapping)
    assert callable(auto_class.from_pretrained)
    assert callable(auto_class.from_config)
    assert evidence["model types"] > 0


def model_classes(family):
    """Names of the model classes that a family exports."""
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, PreTrainedModel) and value.__module__ == module.__name__
        if hasattr(transformers, name) and not name.endswith("PreTrainedModel")
    }


def reached(family):
    """Names of the family's model classes that some Auto class gives."""
    found = set()
    for name in AUTO_CLASSES:
        if accepts(name, family):
            classes = getattr(transformers, name)._model_mapping[CONFIG_MAPPING[family]]
            found |= {each.__name__ for each in (classes if isinstance(classes, tuple | list) else [classes])}
    return found


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("bert", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture")),
        pytest.param("roberta", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture")),
        pytest.param("distilbert", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture")),
        pytest.param("albert", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture")),
        pytest.param("electra", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture")),
        pytest.param("t5", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture.t5")),
        pytest.param("gpt2", marks=pytest.mark.claim("load.auto-classes-cover.every-architecture.gpt2")),
    ],
)
def test_every_model_class_is_reached(family, evidence):
    """Each model class that the family exports is what some Auto class gives."""
    evidence["classes"] = len(model_classes(family))
    evidence["not reached"] = sorted(model_classes(family) - reached(family))
    assert len(model_classes(family)) > 2
    assert model_classes(family) <= reached(family)


@pytest.mark.correction("load.auto-classes-cover.every-architecture.t5")
def test_encoder_of_t5_needs_its_own_class():
    """No Auto class gives `T5EncoderModel`: it is loaded by its own name."""
    assert model_classes("t5") - reached("t5") == {"T5EncoderModel"}


@pytest.mark.correction("load.auto-classes-cover.every-architecture.gpt2")
def test_double_heads_need_their_own_class(folder):
    """No Auto class gives `GPT2DoubleHeadsModel`: it is loaded by its own name."""
    assert model_classes("gpt2") - reached("gpt2") == {"GPT2DoubleHeadsModel"}
    model = transformers.GPT2DoubleHeadsModel.from_pretrained(folder("gpt2", "causal-lm"))
    assert torch.equal(model.transformer.wte.weight, trained("gpt2")["transformer.wte.weight"])


# --- slide 18: the id names the checkpoint, the Auto class the task ---------------------------------------------------


def publish(hub, tmp_path, repo_id, seed):
    """A repo with a masked-LM checkpoint, in both formats if there are two: a lone pickle is sent to be converted."""
    for weights in ("bin", "safetensors") if find_spec("safetensors") else ("bin",):
        checkpoints.write(tmp_path / repo_id, "bert", "masked-lm", seed=seed, weights=weights)
    hub.model(repo_id, tmp_path / repo_id)


@pytest.mark.claim("load.id-and-class")
def test_id_names_the_checkpoint_and_auto_class_the_task(hub, tmp_path, evidence):
    """Another id: other parameters, the same class. Another Auto class: another class, the same parameters."""
    publish(hub, tmp_path, "tiny/first", seed=1)
    publish(hub, tmp_path, "tiny/second", seed=2)
    found = {
        (model_id, auto_class.__name__): auto_class.from_pretrained(model_id)
        for model_id in ("tiny/first", "tiny/second")
        for auto_class in (AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification)
    }
    evidence["classes"] = {" ".join(chosen): type(model).__name__ for chosen, model in found.items()}
    for (model_id, auto_class), model in found.items():
        assert type(model).__name__ == auto_class.replace("AutoModel", "Bert")
        state = checkpoints.state("bert", "masked-lm", seed=1 if model_id == "tiny/first" else 2)
        encoder = {name: tensor for name, tensor in state.items() if name.startswith("bert.")}
        assert all(torch.equal(model.get_parameter(name), tensor) for name, tensor in encoder.items())


BERT_CLASSES = [auto_class for auto_class, family in ACCEPTED if family == "bert"]


@pytest.mark.parametrize(
    "auto_class",
    [
        pytest.param(
            auto_class,
            marks=pytest.mark.claim(
                "load.id-and-class.task-in-name.CausalLM"
                if auto_class == "AutoModelForCausalLM"
                else "load.id-and-class.task-in-name"
            ),
        )
        for auto_class in BERT_CLASSES
        if auto_class != "AutoModelForTextEncoding"
    ]
    + [
        pytest.param(
            "AutoModelForTextEncoding",
            marks=[
                pytest.mark.claim("load.id-and-class.task-in-name.TextEncoding"),
                pytest.mark.needs("transformers>=4.31"),
            ],
        )
    ],
)
def test_auto_class_and_model_class_name_the_same_task(auto_class, load, evidence):
    """`AutoModelForMaskedLM` gives `BertForMaskedLM`, and so on."""
    evidence["class"] = type(load(auto_class, "bert").model).__name__
    assert evidence["class"] == auto_class.replace("Auto", "Bert").replace("ModelFor", "For")


@pytest.mark.correction("load.id-and-class.task-in-name.CausalLM")
def test_causal_lm_class_of_bert_is_called_otherwise(load):
    """`AutoModelForCausalLM` gives `BertLMHeadModel`."""
    assert type(load("AutoModelForCausalLM", "bert").model).__name__ == "BertLMHeadModel"


@pytest.mark.needs("transformers>=4.31")
@pytest.mark.correction("load.id-and-class.task-in-name.TextEncoding")
def test_text_encoding_class_of_bert_is_the_base_model(load):
    """`AutoModelForTextEncoding` gives `BertModel`."""
    assert type(load("AutoModelForTextEncoding", "bert").model).__name__ == "BertModel"


@pytest.mark.claim("load.id-and-class.causal")
def test_causal_lm_sees_the_left_context_alone(folder):
    """Under `AutoModelForCausalLM`, what follows a token does not change its logits."""
    model = AutoModelForCausalLM.from_pretrained(folder("bert", "masked-lm"))
    assert_later_tokens_change_nothing(model)


@pytest.mark.correction("load.id-and-class.causal")
def test_bert_needs_is_decoder_to_be_causal(folder):
    """With `is_decoder=True`, and not without, BERT sees the left context alone."""
    model_id = folder("bert", "masked-lm")
    model = AutoModelForCausalLM.from_pretrained(model_id, is_decoder=True)
    assert_later_tokens_change_nothing(model)


def assert_later_tokens_change_nothing(model):
    __tracebackhide__ = True
    ids = torch.arange(5, 13).reshape(1, 8)
    changed = torch.cat([ids[:, :-1], torch.tensor([[50]])], dim=1)
    with torch.no_grad():
        first, second = model(ids).logits, model(changed).logits
    assert torch.allclose(first[:, :-1], second[:, :-1], atol=1e-6), "the last token changes the logits before it"


@pytest.mark.claim("load.id-and-class.refused-early")
@pytest.mark.parametrize(
    "auto_class", ["AutoModelForSeq2SeqLM", "AutoModelForImageClassification", "AutoModelForSpeechSeq2Seq"]
)
def test_unsuited_auto_class_refuses_before_any_download(auto_class, hub, tmp_path, evidence):
    """An Auto class without a model class for the id's family refuses it when it has seen the config."""
    publish(hub, tmp_path, "tiny/first", seed=1)
    with pytest.raises(ValueError, match="BertConfig"):
        getattr(transformers, auto_class).from_pretrained("tiny/first")
    hub.log.settle()
    evidence["requests"] = hub.log.files("tiny/first")
    assert "GET config.json" in evidence["requests"]
    assert not [request for request in evidence["requests"] if request.endswith((".safetensors", ".bin"))]


# --- slide 22: loaded, left out, new; and refused ---------------------------------------------------------------------


@pytest.mark.claim("heads.every-class")
def test_every_auto_class_loads_every_family(load, evidence):
    """Whatever the class and the family: what fits is loaded, what is too much left out, what is missing made new."""
    table = {}
    for auto_class, family in PAIRS:
        try:
            loaded = load(auto_class, family)
        except ValueError:
            outcome = "refused"
        else:
            counts = f"{len(loaded.missing)} new, {len(loaded.unexpected)} left out"
            outcome = f"{type(loaded.model).__name__}: {counts}"
        table.setdefault(auto_class, {})[family] = outcome
    refused = [pair for pair in PAIRS if table[pair[0]][pair[1]] == "refused"]
    evidence["table"] = {name: row for name, row in table.items() if set(row.values()) != {"refused"}}
    evidence["refuse all seven families"] = len(table) - len(evidence["table"])
    assert not refused


@pytest.mark.correction("heads.every-class")
def test_refusal_is_a_fourth_outcome(load):
    """A pair is loaded where the Auto class has a model class for the family, and refused elsewhere."""
    assert all(isinstance(load(*pair).model, PreTrainedModel) for pair in ACCEPTED)
    with pytest.raises(ValueError, match="BertConfig"):
        load("AutoModelForSeq2SeqLM", "bert")
    with pytest.raises(ValueError, match="GPT2Config"):
        load("AutoModelForMaskedLM", "gpt2")


# How the names of a task's model classes end, where it is not as the name of the Auto class does.
ENDINGS = {
    "AutoModelForCausalLM": ("ForCausalLM", "LMHeadModel"),
    "AutoModelForSeq2SeqLM": ("ForConditionalGeneration",),
    "AutoModelForTextEncoding": ("EncoderModel",),
}


def classes_for(auto_class, family):
    """Names of the family's model classes that are for the task of the Auto class, by how they end."""
    endings = ENDINGS.get(auto_class, (auto_class.removeprefix("AutoModel"),))
    return {name for name in model_classes(family) if name.endswith(endings)}


@pytest.mark.claim("heads.every-class.refused")
def test_refused_is_what_has_no_class():
    """An Auto class refuses a family whose modelling module has no class for the task, and no other family."""
    assert {pair for pair in REFUSED if classes_for(*pair)} == set()
    for family, heads in checkpoints.CLASSES.items():
        for head, name in heads.items():
            assert (AUTO_CLASS_OF[head], family) in ACCEPTED
            assert name in classes_for(AUTO_CLASS_OF[head], family)


@pytest.mark.claim("heads.every-class.refused")
@pytest.mark.parametrize(
    # A class for images or sound refuses all seven families: one stands for them.
    ("auto_class", "family"),
    [(auto_class, family) for auto_class, family in REFUSED if auto_class in TEXT_CLASSES or family == "bert"],
)
def test_refusal_names_config_and_auto_class(auto_class, family, folder, evidence):
    """A ValueError names the config class, the Auto class, and all config classes that are accepted."""
    config = CONFIG_MAPPING[family].__name__
    with pytest.raises(ValueError, match=config) as refusal:
        getattr(transformers, auto_class).from_pretrained(folder(family, usual_head(family)))
    message = str(refusal.value)
    evidence["message"] = message.splitlines()[0]
    words = set(re.findall(r"\w+", message))
    assert auto_class in words
    assert {accepted.__name__ for accepted in getattr(transformers, auto_class)._model_mapping} <= words


@pytest.mark.claim("heads.every-class.encoder-loaded")
def test_encoder_is_loaded(load, evidence):
    """Every parameter that the model has of the checkpoint is the trained one: the encoder is among them."""
    for auto_class, family in ACCEPTED:
        loaded = load(auto_class, family)
        names = loaded.bare(name for name, _ in loaded.model.named_parameters())
        both = names & loaded.bare(trained(family))
        encoder = {name for name in base(family) if not name.startswith(("pooler", "decoder"))}
        evidence[f"{auto_class} {family}"] = sorted(lost(loaded, trained(family))) or len(both)
        assert encoder <= both
    assert not [pair for pair, found in evidence.items() if isinstance(found, list)]


@pytest.mark.correction("heads.every-class.encoder-loaded")
@pytest.mark.parametrize(
    ("auto_class", "family", "bias"),
    [
        ("AutoModelForMaskedLM", "roberta", "lm_head.bias"),
        ("AutoModelForCausalLM", "roberta", "lm_head.bias"),
        ("AutoModelForPreTraining", "roberta", "lm_head.bias"),
        ("AutoModelForMaskedLM", "albert", "predictions.bias"),
        ("AutoModelForPreTraining", "albert", "predictions.bias"),
    ],
)
def test_bias_of_the_language_model_is_lost(auto_class, family, bias, load):
    """The head's bias is stored and is zero in the model; it is not reported. All else is the trained one."""
    loaded = load(auto_class, family)
    assert lost(loaded, trained(family)) == {bias}
    assert trained(family)[bias].any()
    assert not loaded.model.get_parameter(bias).any()
    assert bias not in loaded.missing | loaded.words


@pytest.mark.correction("heads.every-class.encoder-loaded")
def test_all_but_that_bias_is_loaded(load):
    """Nothing else that both have is lost, under any Auto class, in any family."""
    for auto_class, family in ACCEPTED:
        assert lost(load(auto_class, family), trained(family)) <= {"lm_head.bias", "predictions.bias"}


def lost(loaded, state):
    """Names of the model's parameters whose values are not those that the checkpoint's `state` has for them."""
    prefix = f"{loaded.model.base_model_prefix}."
    stored = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {
        name
        for name, parameter in loaded.model.named_parameters()
        if name.removeprefix(prefix) in stored and not torch.equal(parameter, stored[name.removeprefix(prefix)])
    }


@cases("heads.every-class.only-head-new", NEW_POOLER, "heads.every-class.only-head-new.pooler")
def test_only_a_head_is_new(auto_class, family, load, stored, evidence):
    """No parameter of the family's base model is missing in the checkpoint, nor said to be."""
    loaded = load(auto_class, family)
    missing = loaded.bare(name for name, _ in loaded.model.named_parameters()) - loaded.bare(stored(family))
    missing |= loaded.bare(loaded.missing)
    evidence["missing"] = sorted(missing)
    assert not missing & base(family)


@pytest.mark.correction("heads.every-class.only-head-new.pooler")
@pytest.mark.parametrize(("auto_class", "family"), [pair for pair in ACCEPTED if pair in NEW_POOLER])
def test_pooler_is_new_too(auto_class, family, load, stored):
    """Of the base model the pooler is missing, and nothing else; its weights are normal draws."""
    loaded = load(auto_class, family)
    names = loaded.bare(name for name, _ in loaded.model.named_parameters())
    missing = (names - loaded.bare(stored(family))) & base(family)
    assert missing == {name for name in base(family) if name.startswith("pooler.")}
    (weight,) = [it for name, it in loaded.model.named_parameters() if "pooler" in name and it.ndim == 2]
    assert_normal(weight, scale=0.02, what=f"weights of the {family} pooler")


@pytest.fixture(scope="module")
def stored(folder):
    """family -> the names in its file with the usual head, of tied parameters all names."""

    @functools.cache
    def stored(family):
        return torch.load(folder(family, usual_head(family)) / "pytorch_model.bin", weights_only=True).keys()

    return stored


@pytest.fixture(scope="module")
def left_out(stored):
    """family, what was loaded -> what is in the file and not in the model, without prefixes."""
    return lambda family, loaded: loaded.bare(stored(family)) - loaded.bare(loaded.model.state_dict())


@cases("heads.every-class.only-head-left-out", T5_ENCODERS, "heads.every-class.only-head-left-out.t5-encoder")
def test_only_a_head_is_left_out(auto_class, family, load, left_out, evidence):
    """Every parameter that is stored and finds no place belongs to the head, none to the family's base model."""
    missed = left_out(family, load(auto_class, family))
    evidence["left out"] = sorted(missed)
    assert not missed & base(family)


@pytest.mark.correction("heads.every-class.only-head-left-out.t5-encoder")
@pytest.mark.parametrize(
    "auto_class",
    [pytest.param(name, marks=pytest.mark.needs(release)) for (name, _), release in T5_ENCODERS.items()],
)
def test_decoder_of_t5_is_left_out(auto_class, load, left_out):
    """The model is T5's encoder: the whole decoder is left out."""
    missed = left_out("t5", load(auto_class, "t5"))
    assert missed & base("t5") == {name for name in base("t5") if name.startswith("decoder.")}


@cases(
    "heads.every-class.left-out-told",
    [("AutoModelForTextEncoding", "t5")],
    "heads.every-class.left-out-told.t5-encoder",
    [("AutoModelForTokenClassification", "t5")],
    "heads.every-class.left-out-told.t5-token-classifier",
)
def test_what_is_left_out_is_told(auto_class, family, load, left_out, evidence):
    """All that is left out is reported as unexpected, and nothing else."""
    loaded = load(auto_class, family)
    evidence["left out"] = sorted(left_out(family, loaded))
    evidence["unexpected"] = sorted(loaded.unexpected)
    assert sorted(loaded.bare(loaded.unexpected)) == evidence["left out"]


@pytest.mark.parametrize(
    "auto_class",
    [
        pytest.param(
            "AutoModelForTextEncoding",
            marks=[
                pytest.mark.correction("heads.every-class.left-out-told.t5-encoder"),
                pytest.mark.needs("transformers>=4.31"),
            ],
        ),
        pytest.param(
            "AutoModelForTokenClassification",
            marks=[
                pytest.mark.correction("heads.every-class.left-out-told.t5-token-classifier"),
                pytest.mark.needs("transformers>=4.38"),
            ],
        ),
    ],
)
def test_decoder_of_t5_is_dropped_in_silence(auto_class, load):
    """That the checkpoint has a trained decoder is told nowhere."""
    loaded = load(auto_class, "t5")
    assert not [name for name in loaded.unexpected if name.startswith("decoder.block")]
    assert not [warning for warning in loaded.warnings if "decoder" in warning]


@pytest.mark.claim("heads.every-class.new-told")
def test_what_is_new_is_told(load, stored, evidence):
    """What the model has and the checkpoint lacks is reported as missing; a warning names all of it, and no more."""
    for auto_class, family in ACCEPTED:
        loaded = load(auto_class, family)
        names = loaded.bare(name for name, _ in loaded.model.named_parameters())
        new = names - loaded.bare(stored(family))
        missing = loaded.bare(loaded.missing)
        # Some releases also say, in a warning of its own, that stored parameters are not tied.
        texts = [text for text in loaded.warnings if "NOT tie" not in text]
        named = {name for text in texts for name in names & loaded.bare(words(text))}
        evidence[f"{auto_class} {family}"] = "told" if missing == new == named else sorted(missing ^ new | named ^ new)
    assert set(map(str, evidence.values())) == {"told"}


@pytest.mark.correction("heads.every-class.new-told")
def test_what_is_told_wrongly(load, stored):
    """A decoder's bias is called new that was loaded as the head's, or a base model's new pooler is not told of."""
    wrong = {}
    for auto_class, family in ACCEPTED:
        loaded = load(auto_class, family)
        names = loaded.bare(name for name, _ in loaded.model.named_parameters())
        new = names - loaded.bare(stored(family))
        too_much, too_little = loaded.bare(loaded.missing) - new, new - loaded.bare(loaded.missing)
        if too_much or too_little:
            wrong[auto_class, family] = sorted(too_much), sorted(too_little)
    biases = {
        ("AutoModelForMaskedLM", "albert"): (["predictions.decoder.bias"], []),
        ("AutoModelForPreTraining", "albert"): (["predictions.decoder.bias"], []),
        ("AutoModelForPreTraining", "bert"): (["cls.predictions.decoder.bias"], []),
    }
    poolers = {
        ("AutoModel", "bert"): ([], ["pooler.dense.bias", "pooler.dense.weight"]),
        ("AutoModel", "roberta"): ([], ["pooler.dense.bias", "pooler.dense.weight"]),
        ("AutoModel", "albert"): ([], ["pooler.bias", "pooler.weight"]),
    }
    assert wrong in (biases, poolers)


@pytest.mark.claim("heads.every-class.new-random")
@pytest.mark.parametrize(
    # Every head of BERT, and the classification head of every family.
    ("auto_class", "family"),
    [pair for pair in ACCEPTED if pair[1] == "bert" or pair[0] == "AutoModelForSequenceClassification"],
)
def test_what_is_new_is_random(auto_class, family, load, stored, folder, seed, evidence):
    """Loaded again under another seed, the new matrices are others; everything else is the same."""
    loaded = load(auto_class, family)
    torch.manual_seed(seed + 1)
    again = getattr(transformers, auto_class).from_pretrained(folder(family, usual_head(family)))
    others = dict(again.named_parameters())
    differing = {name for name, it in loaded.model.named_parameters() if not torch.equal(it, others[name])}
    matrices = {name for name, it in others.items() if it.ndim == 2}
    evidence["differing"] = sorted(differing)
    assert loaded.bare(differing) == loaded.bare(matrices) - loaded.bare(stored(family))


@cases("heads.every-class.evaluation-mode")
def test_every_loaded_model_is_in_evaluation_mode(auto_class, family, load):
    """No module of the model is in training mode."""
    assert not [module for module in load(auto_class, family).model.modules() if module.training]


@pytest.mark.claim("heads.every-class.own-head")
def test_own_class_is_perfectly_loaded(load, evidence):
    """Under the Auto class of its own head, nothing is missing, left out or lost, and no warning names a parameter."""
    for family, heads in checkpoints.CLASSES.items():
        for head, model_class in heads.items():
            loaded = load(AUTO_CLASS_OF[head], family, head)
            assert type(loaded.model).__name__ == model_class
            named = loaded.words & {name for name, _ in loaded.model.named_parameters()}
            wrong = loaded.missing | loaded.unexpected | lost(loaded, checkpoints.state(family, head)) | named
            evidence[f"{family} {head}"] = sorted(wrong)
    assert not any(evidence.values())


@pytest.mark.correction("heads.every-class.own-head")
def test_only_the_output_layer_is_imperfect(load):
    """Some heads' output layer has one of three faults; every other parameter is loaded, in silence."""
    faulty = []
    for family, heads in checkpoints.CLASSES.items():
        for head in heads:
            loaded, state = load(AUTO_CLASS_OF[head], family, head), checkpoints.state(family, head)
            zero = lost(loaded, state)
            not_tied = [text for text in loaded.warnings if "NOT tie" in text]
            others = {word for text in loaded.warnings if text not in not_tied for word in words(text)}
            assert zero <= {"lm_head.bias", "predictions.bias"}
            assert not any(loaded.model.get_parameter(name).any() for name in zero)
            assert all(name.endswith("predictions.decoder.bias") for name in loaded.missing)
            assert not loaded.unexpected
            assert not others & {name for name, _ in loaded.model.named_parameters()}
            if zero or loaded.missing or not_tied:
                faulty.append(f"{family} {head}")
    assert "albert masked-lm" in faulty


@pytest.mark.parametrize(
    "family",
    [
        *(
            pytest.param(family, marks=pytest.mark.claim("heads.every-class.classifier-normal"))
            for family in FAMILIES
            if family != "t5"
        ),
        pytest.param(
            "t5",
            marks=[
                pytest.mark.claim("heads.every-class.classifier-normal.t5"),
                pytest.mark.needs("transformers>=4.32"),
            ],
        ),
    ],
)
def test_new_classifier_is_normal(family, folder, evidence):
    """The last layer of a new classification head is drawn from a normal distribution, 0.02 wide."""
    model = AutoModelForSequenceClassification.from_pretrained(folder(family, usual_head(family)), num_labels=512)
    weight = last_layer(model)
    evidence["standard deviation"] = round(float(weight.std()), 5)
    assert_normal(weight, scale=0.02, what=f"weights of the {family} classifier")


@pytest.mark.needs("transformers>=4.32")
@pytest.mark.correction("heads.every-class.classifier-normal.t5")
def test_new_classifier_of_t5_spreads_with_its_width(folder):
    """T5 draws with 1 / sqrt(d_model), here 1 / sqrt(32)."""
    model = AutoModelForSequenceClassification.from_pretrained(folder("t5", "seq2seq"), num_labels=512)
    assert_normal(last_layer(model), scale=32**-0.5, what="weights of the T5 classifier")


def last_layer(model):
    """The weights that make one logit per label, 512 x 32."""
    (weight,) = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.shape == (512, 32)
        if "class" in name or "score" in name
    ]
    return weight


# --- a head that does not fit -----------------------------------------------------------------------------------------

CLASSIFIED = [family for family in FAMILIES if "classification" in checkpoints.CLASSES[family]]


@pytest.mark.claim("heads.every-class.other-size")
@pytest.mark.parametrize("family", CLASSIFIED)
def test_head_of_another_size_is_made_anew(family, folder):
    """A checkpoint with 2 labels is loaded for 3: the head does not fit, so a new one is made."""
    model = AutoModelForSequenceClassification.from_pretrained(folder(family, "classification"), num_labels=3)
    assert model.config.num_labels == 3


@pytest.mark.correction("heads.every-class.other-size")
@pytest.mark.parametrize("family", CLASSIFIED)
def test_head_of_another_size_is_new_when_asked_for(family, folder):
    """`ignore_mismatched_sizes=True` makes the parameters of another shape anew, and loads all others."""
    model_id = folder(family, "classification")
    model = AutoModelForSequenceClassification.from_pretrained(model_id, num_labels=3, ignore_mismatched_sizes=True)
    stored = checkpoints.state(family, "classification")
    new = {name: it for name, it in model.named_parameters() if not torch.equal(it, stored[name])}
    assert {tuple(parameter.shape) for parameter in new.values()} <= {(3, 32), (3,)}
    assert {tuple(stored[name].shape) for name in new} <= {(2, 32), (2,)}
    assert any(parameter.ndim == 2 for parameter in new.values())


@pytest.mark.correction("heads.every-class.other-size")
def test_head_of_another_size_is_random(folder):
    """The head made instead differs from load to load."""
    first, second = (
        AutoModelForSequenceClassification.from_pretrained(
            folder("bert", "classification"), num_labels=3, ignore_mismatched_sizes=True
        )
        for _ in range(2)
    )
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


@pytest.mark.claim("heads.every-class.multiple-choice")
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
def test_classifier_checkpoint_gets_a_new_multiple_choice_head(family, folder):
    """A classification checkpoint under `AutoModelForMultipleChoice`: that head is missing, so it is made anew."""
    AutoModelForMultipleChoice.from_pretrained(folder(family, "classification"))


@pytest.mark.correction("heads.every-class.multiple-choice")
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
def test_multiple_choice_head_has_the_classifiers_name(family, folder):
    """Both heads are called `classifier`, one with 1 row and one with 2: it has to be said that this may be ignored."""
    model = AutoModelForMultipleChoice.from_pretrained(folder(family, "classification"), ignore_mismatched_sizes=True)
    stored = checkpoints.state(family, "classification")
    new = {name: it for name, it in model.named_parameters() if not torch.equal(it, stored[name])}
    assert set(new) == {"classifier.weight", "classifier.bias"}
    assert (new["classifier.weight"].shape, stored["classifier.weight"].shape) == ((1, 32), (2, 32))


@pytest.mark.parametrize(
    "family",
    [
        *(
            pytest.param(family, marks=pytest.mark.claim("heads.every-class.other-task"))
            for family in ("roberta", "electra", "gpt2")
        ),
        *(
            pytest.param(family, marks=pytest.mark.claim("heads.every-class.other-task.same-name"))
            for family in ("bert", "distilbert", "albert")
        ),
    ],
)
def test_head_of_another_task_is_not_used(family, folder, evidence):
    """A sentence classifier's head does not classify tokens: that head is missing, so it is made anew."""
    _, loading = AutoModelForTokenClassification.from_pretrained(
        folder(family, "classification"), output_loading_info=True
    )
    evidence["missing"] = sorted(loading["missing_keys"])
    assert set(loading["missing_keys"]) >= {"classifier.weight", "classifier.bias"}


@pytest.mark.correction("heads.every-class.other-task.same-name")
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
def test_head_of_another_task_is_used_if_name_and_shape_agree(family, folder):
    """The head that classified sentences is loaded as one that classifies tokens, and is not reported."""
    model, loading = AutoModelForTokenClassification.from_pretrained(
        folder(family, "classification"), output_loading_info=True
    )
    state = checkpoints.state(family, "classification")
    assert not loading["missing_keys"]
    assert torch.equal(model.classifier.weight, state["classifier.weight"])
    assert torch.equal(model.classifier.bias, state["classifier.bias"])


@pytest.mark.parametrize(
    "families",
    [
        pytest.param(["distilbert", "electra"], marks=pytest.mark.claim("heads.every-class.one-warning")),
        pytest.param(["bert", "roberta", "albert"], marks=pytest.mark.claim("heads.every-class.one-warning.tied-bias")),
    ],
)
def test_one_warning_tells_of_a_new_masked_lm_head(families, load, evidence):
    """A checkpoint without a head is loaded for masked-LM: one warning, as for a new classification head."""
    for family in families:
        evidence[family] = load("AutoModelForMaskedLM", family, "base").warnings
    assert {family: len(warnings) for family, warnings in evidence.items()} == dict.fromkeys(families, 1)


@pytest.mark.correction("heads.every-class.one-warning.tied-bias")
@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_another_warning_tells_nothing_of_the_checkpoint(family, load):
    """A second warning, always for BERT: a sound checkpoint is corrupted, or `generate` will be gone from a class.

    All but the checkpoint's pooler is loaded.
    """
    loaded = load("AutoModelForMaskedLM", family, "base")
    parameters = {name.removeprefix(f"{family}."): it for name, it in loaded.model.named_parameters()}
    stored = checkpoints.state(family, "base")
    pooler = {name for name in stored if name.startswith("pooler.")}
    second = [text for text in loaded.warnings if "corrupted" in text or "generate" in text]
    assert len(loaded.warnings) - len(second) == 1
    assert len(second) == 1 or (family != "bert" and not second)
    assert loaded.bare(loaded.unexpected) <= pooler
    assert not [name for name in stored.keys() - pooler if not torch.equal(parameters[name], stored[name])]


@pytest.mark.needs("transformers>=4.25")
@pytest.mark.claim("heads.every-class.backbone")
def test_backbone_class_refuses_like_the_others(folder, monkeypatch, evidence):
    """`AutoBackbone`, an Auto class too, refuses a BERT checkpoint and names its config."""
    checkpoint = folder("bert", "masked-lm")
    monkeypatch.chdir(checkpoint.parent)
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the message is what is looked at)
        transformers.AutoBackbone.from_pretrained(f"./{checkpoint.name}")
    evidence["error"] = type(refusal.value).__name__
    assert "BertConfig" in str(refusal.value)


@pytest.mark.correction("heads.every-class.backbone")
def test_backbone_class_takes_a_folder_for_an_id(tmp_path):
    """Any path is refused as an id of the Hub, whether a checkpoint lies there or not."""
    with pytest.raises(HFValidationError):
        transformers.AutoBackbone.from_pretrained(str(tmp_path / "there-is-nothing"))
