"""Slides 22 and 24: a masked-LM checkpoint of BERT under three Auto classes: loaded, left out, made anew."""

import json
import logging
import re
from importlib.util import find_spec

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from fixtures import checkpoints, messages
from fixtures.normal import assert_normal

# New parameters and masks are drawn from torch's global generator.
pytestmark = pytest.mark.usefixtures("seeded")

# What a checkpoint stores for the head. The decoder's weight is tied to the word embeddings and is stored twice in a
# pickle; its bias is the head's bias.
MASKED_LM_HEAD = {
    "cls.predictions.bias",
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.decoder.weight",
}
NEXT_SENTENCE_HEAD = {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
CLASSIFIER = {"classifier.weight", "classifier.bias"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Checkpoints lie in the working directory, so that the library's messages name them without a path."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def masked_lm(tmp_path):
    """A checkpoint of `BertForMaskedLM`, as the lecture takes bert-base-uncased to be. (All releases read a pickle.)"""
    return checkpoints.write(tmp_path / "masked-lm", "bert", "masked-lm", weights="bin").name


@pytest.fixture
def published(tmp_path):
    """What bert-base-uncased is: saved from pre-training, with two heads and a pooler and the old LayerNorm names.

    Its config names `BertForMaskedLM` all the same.
    """
    folder = checkpoints.write(tmp_path / "published", "bert", "pretraining", weights="bin", legacy_names=True)
    config = checkpoints.config("bert", "pretraining") | {"architectures": ["BertForMaskedLM"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder.name


@pytest.fixture
def logged():
    """What the library logs at level INFO and above."""
    with messages.logged(logging.INFO) as records:
        yield records


def warnings_in(logged):
    """The messages that were logged as warnings or worse: those a student sees."""
    return [record.getMessage() for record in logged if record.levelno >= logging.WARNING]


DECODER, EMBEDDINGS = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"


def parameters_that_differ(model, trained):
    """Names of the model's parameters that are not in `trained`, or have other values there.

    Some releases list the decoder, whose weight is trained as that of the word embeddings, as a parameter of its own.
    """
    if EMBEDDINGS in trained:
        trained = trained | {DECODER: trained[EMBEDDINGS]}
    return {
        name
        for name, parameter in model.named_parameters()
        if name not in trained or not torch.equal(parameter, trained[name])
    }


def says_not_tied(warning):
    """Whether a message says that the decoder and the word embeddings are not tied, both being stored."""
    return "NOT tie" in warning and DECODER in warning and EMBEDDINGS in warning


# --- AutoModelForMaskedLM: everything is loaded -----------------------------------------------------------------------


@pytest.mark.claim("heads.masked-lm-perfect")
def test_masked_lm_fits(masked_lm, evidence):
    """Nothing is missing and nothing is left over."""
    # Slide 24 prints this call.
    config = AutoConfig.from_pretrained(masked_lm)
    model, loading = AutoModelForMaskedLM.from_pretrained(masked_lm, config=config, output_loading_info=True)
    evidence["class"] = type(model).__name__
    evidence["missing"] = sorted(loading["missing_keys"])
    evidence["unexpected"] = sorted(loading["unexpected_keys"])
    assert type(model).__name__ == "BertForMaskedLM"
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]


@pytest.mark.claim("heads.masked-lm-perfect.no-warning")
def test_masked_lm_loads_without_a_warning(masked_lm, logged, recwarn, evidence):
    """Nothing is said above the level INFO. (That a warning would be seen here, the other heads show.)"""
    AutoModelForMaskedLM.from_pretrained(masked_lm)
    evidence["logged"] = warnings_in(logged)
    evidence["warned"] = [str(warning.message) for warning in recwarn]
    assert not warnings_in(logged)
    assert len(recwarn) == 0


@pytest.mark.correction("heads.masked-lm-perfect.no-warning")
def test_one_warning_though_all_is_loaded(masked_lm, logged):
    """One warning, on another thing than what is loaded; with it every parameter is the trained one."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm)
    (warning,) = warnings_in(logged)
    assert says_not_tied(warning) != ("generate" in warning)
    assert parameters_that_differ(model, checkpoints.state("bert", "masked-lm")) == set()


@pytest.mark.claim("heads.masked-lm-perfect.every-tensor")
def test_every_masked_lm_parameter_is_the_trained_one(masked_lm, evidence):
    """Tensor by tensor, bit by bit."""
    trained = checkpoints.state("bert", "masked-lm")
    model = AutoModelForMaskedLM.from_pretrained(masked_lm)
    evidence["parameters"] = len(list(model.named_parameters()))
    assert {name for name, _ in model.named_parameters()} - {DECODER} == set(trained)
    assert parameters_that_differ(model, trained) == set()


@pytest.mark.claim("heads.masked-lm-perfect.tied-decoder")
def test_decoder_is_the_word_embeddings(masked_lm):
    """The head's decoder has no weights of its own: it is the same storage as the word embeddings."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm)
    decoder, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    assert decoder.weight.data_ptr() == embeddings.weight.data_ptr()
    assert decoder.bias.data_ptr() == model.cls.predictions.bias.data_ptr()
    assert torch.equal(decoder.bias, checkpoints.state("bert", "masked-lm")["cls.predictions.bias"])


@pytest.mark.claim("heads.masked-lm-perfect.nothing-random")
def test_two_loads_are_equal(masked_lm):
    """Two loads under different seeds give the same tensors, buffers included, and the same logits."""
    torch.manual_seed(1)
    first = AutoModelForMaskedLM.from_pretrained(masked_lm)
    torch.manual_seed(2)
    second = AutoModelForMaskedLM.from_pretrained(masked_lm)
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        assert torch.equal(first(ids).logits, second(ids).logits)
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


# The oldest releases come without safetensors.
STORED = [
    *([{"weights": "safetensors"}, {"weights": "safetensors", "shards": 3}] if find_spec("safetensors") else []),
    {"weights": "bin", "shards": 3},
    {"weights": "bin", "legacy_names": True},
]


@pytest.mark.claim("heads.masked-lm-perfect.any-format")
def test_any_format_is_perfectly_loaded(tmp_path, evidence):
    """In one file or in shards, as safetensors or as a pickle, with new or old names: all loaded, nothing said."""
    for number, stored in enumerate(STORED):
        checkpoints.write(tmp_path / f"stored-{number}", "bert", "masked-lm", **stored)
        with messages.logged() as records:
            model, loading = AutoModelForMaskedLM.from_pretrained(f"stored-{number}", output_loading_info=True)
        evidence[str(stored)] = warnings_in(records)
        assert not loading["missing_keys"]
        assert not loading["unexpected_keys"]
        assert parameters_that_differ(model, checkpoints.state("bert", "masked-lm")) == set()
    assert not any(evidence.values())


def subject(warning):
    """What a warning that is not about parameters is about; any other warning itself."""
    if says_not_tied(warning):
        return "not tied"
    return next((words for words in ("generate", "renamed internally") if words in warning), warning)


@pytest.mark.correction("heads.masked-lm-perfect.any-format")
def test_any_format_has_the_trained_parameters(tmp_path):
    """Every parameter is loaded from each format; what is said is of one kind, and not about a lost parameter."""
    said = set()
    for number, stored in enumerate(STORED):
        checkpoints.write(tmp_path / f"stored-{number}", "bert", "masked-lm", **stored)
        with messages.logged() as records:
            model = AutoModelForMaskedLM.from_pretrained(f"stored-{number}")
        assert parameters_that_differ(model, checkpoints.state("bert", "masked-lm")) == set()
        said |= {subject(warning) for warning in warnings_in(records)}
    assert said in ({"not tied"}, {"generate"}, {"renamed internally"})


@pytest.mark.claim("heads.masked-lm-perfect.published.nothing-missing")
def test_published_checkpoint_has_all_that_masked_lm_needs(published, evidence):
    """Saved from pre-training, it misses nothing."""
    _, loading = AutoModelForMaskedLM.from_pretrained(published, output_loading_info=True)
    evidence["missing"] = sorted(loading["missing_keys"])
    assert not loading["missing_keys"]
    assert not loading["mismatched_keys"]


@pytest.mark.claim("heads.masked-lm-perfect.published.every-tensor")
def test_every_parameter_from_the_published_checkpoint_is_the_trained_one(published):
    """The parameters stored as gamma and beta are the weights and biases of the LayerNorms."""
    model = AutoModelForMaskedLM.from_pretrained(published)
    assert parameters_that_differ(model, checkpoints.state("bert", "pretraining")) == set()


@pytest.mark.claim("heads.masked-lm-perfect.published.nothing-left-out")
def test_nothing_of_the_published_checkpoint_is_left_out(published, evidence):
    """All of its parameters find a place in `BertForMaskedLM`."""
    _, loading = AutoModelForMaskedLM.from_pretrained(published, output_loading_info=True)
    evidence["unexpected"] = sorted(loading["unexpected_keys"])
    assert not loading["unexpected_keys"]


@pytest.mark.correction("heads.masked-lm-perfect.published.nothing-left-out")
def test_pooler_and_next_sentence_head_are_left_out(published):
    """The pooler and the next-sentence head are stored and find no place; nothing else is left out."""
    model, loading = AutoModelForMaskedLM.from_pretrained(published, output_loading_info=True)
    stored = set(checkpoints.state("bert", "pretraining"))
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert stored - set(model.state_dict()) == pooler | NEXT_SENTENCE_HEAD
    # Some releases leave the pooler out in silence.
    assert NEXT_SENTENCE_HEAD <= set(loading["unexpected_keys"]) <= pooler | NEXT_SENTENCE_HEAD


@pytest.mark.claim("heads.masked-lm-perfect.published.no-warning")
def test_published_checkpoint_loads_without_a_warning(published, logged, evidence):
    """Slide 24 knows of a warning with a new classification head alone."""
    AutoModelForMaskedLM.from_pretrained(published)
    evidence["logged"] = warnings_in(logged)
    assert not warnings_in(logged)


@pytest.mark.correction("heads.masked-lm-perfect.published.no-warning")
def test_one_warning_names_what_the_published_checkpoint_has_too_much(published, logged, evidence):
    """One warning names the parameters that are left out, the next-sentence head's among them."""
    AutoModelForMaskedLM.from_pretrained(published)
    evidence["logged"] = warnings_in(logged)
    (warning,) = [warning for warning in warnings_in(logged) if any(name in warning for name in NEXT_SENTENCE_HEAD)]
    named = set(re.findall(r"[\w.]+", warning)) & set(checkpoints.state("bert", "pretraining"))
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    # Some releases leave the pooler out in silence.
    assert named in (NEXT_SENTENCE_HEAD, pooler | NEXT_SENTENCE_HEAD)


# --- AutoModel: the head is left out ----------------------------------------------------------------------------------


@pytest.mark.claim("heads.base-ignores-head")
def test_base_model_leaves_the_head_out(masked_lm, evidence):
    """The head's parameters, all of them and only they, are in the checkpoint and not in the model."""
    model, loading = AutoModel.from_pretrained(masked_lm, output_loading_info=True)
    evidence["class"] = type(model).__name__
    evidence["unexpected"] = sorted(loading["unexpected_keys"])
    assert type(model).__name__ == "BertModel"
    assert model.get_output_embeddings() is None
    assert not [name for name in model.state_dict() if "predictions" in name]
    assert set(loading["unexpected_keys"]) == MASKED_LM_HEAD


@pytest.mark.claim("heads.base-ignores-head.encoder-equal")
def test_encoder_of_the_base_model_is_the_trained_one(masked_lm, evidence):
    """Every parameter of embeddings and layers has the checkpoint's values."""
    trained = {
        name.removeprefix("bert."): tensor
        for name, tensor in checkpoints.state("bert", "masked-lm").items()
        if name.startswith("bert.")
    }
    parameters = dict(AutoModel.from_pretrained(masked_lm).named_parameters())
    evidence["parameters"] = len(trained)
    assert set(trained) <= set(parameters)
    assert not [name for name in trained if not torch.equal(parameters[name], trained[name])]


@pytest.mark.claim("heads.base-ignores-head.hidden-states")
def test_base_model_gives_the_hidden_states_below_the_head(masked_lm):
    """Both models compute the same last hidden states."""
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        base = AutoModel.from_pretrained(masked_lm)(ids).last_hidden_state
        below_the_head = AutoModelForMaskedLM.from_pretrained(masked_lm)(ids, output_hidden_states=True).hidden_states
    assert torch.equal(base, below_the_head[-1])


@pytest.mark.claim("heads.base-ignores-head.told")
def test_a_warning_names_what_is_left_out(masked_lm, logged, evidence):
    """One warning names all parameters of the head."""
    AutoModel.from_pretrained(masked_lm)
    evidence["logged"] = [f"{record.levelname} {record.getMessage()}" for record in logged]
    assert any(all(name in warning for name in MASKED_LM_HEAD) for warning in warnings_in(logged))


@pytest.mark.correction("heads.base-ignores-head.told")
def test_what_is_left_out_is_told_at_info(masked_lm, logged):
    """The names are logged at level INFO, which is off unless it is asked for."""
    AutoModel.from_pretrained(masked_lm)
    (message,) = [record for record in logged if all(name in record.getMessage() for name in MASKED_LM_HEAD)]
    assert message.levelno == logging.INFO


@pytest.mark.claim("heads.base-ignores-head.nothing-new")
def test_nothing_in_the_base_model_is_new(masked_lm, evidence):
    """Slide 24: all parameters are trained ones, the head of `AutoModelForSequenceClassification` excepted."""
    model = AutoModel.from_pretrained(masked_lm)
    trained = {name.removeprefix("bert.") for name in checkpoints.state("bert", "masked-lm")}
    evidence["new"] = sorted(set(dict(model.named_parameters())) - trained)
    assert evidence["new"] == []


@pytest.mark.correction("heads.base-ignores-head.nothing-new")
def test_pooler_is_new(masked_lm):
    """The pooler is not in a masked-LM checkpoint: its weights are drawn, its bias is zero."""
    assert not any("pooler" in name for name in checkpoints.state("bert", "masked-lm"))
    model = AutoModel.from_pretrained(masked_lm)
    assert_normal(model.pooler.dense.weight, scale=0.02, what="weights of the pooler")
    assert not model.pooler.dense.bias.any()


@pytest.mark.correction("heads.base-ignores-head.nothing-new")
def test_pooled_output_is_random(masked_lm):
    """From one checkpoint, each load gives another `pooler_output`."""
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        first, second = (AutoModel.from_pretrained(masked_lm)(ids) for _ in range(2))
    assert torch.equal(first.last_hidden_state, second.last_hidden_state)
    assert not torch.allclose(first.pooler_output, second.pooler_output, atol=1e-3)


@pytest.mark.correction("heads.base-ignores-head.nothing-new")
def test_base_model_without_a_pooler_is_all_trained(masked_lm):
    """`add_pooling_layer=False` asks for what such a checkpoint has."""
    model_id = masked_lm
    model = AutoModel.from_pretrained(model_id, add_pooling_layer=False)
    trained = {name.removeprefix("bert."): it for name, it in checkpoints.state("bert", "masked-lm").items()}
    assert parameters_that_differ(model, trained) == set()
    assert model(torch.tensor([[5, 6, 7]])).pooler_output is None


@pytest.mark.claim("heads.base-ignores-head.published")
def test_both_heads_of_the_published_checkpoint_are_left_out(published, evidence):
    """With the checkpoint as it was published, both heads are left out, and the pooler is a trained one."""
    model, loading = AutoModel.from_pretrained(published, output_loading_info=True)
    evidence["unexpected"] = sorted(loading["unexpected_keys"])
    evidence["missing"] = sorted(loading["missing_keys"])
    trained = checkpoints.state("bert", "pretraining")
    assert not loading["missing_keys"]
    assert {new_name(name) for name in loading["unexpected_keys"]} == MASKED_LM_HEAD | NEXT_SENTENCE_HEAD
    assert torch.equal(model.pooler.dense.weight, trained["bert.pooler.dense.weight"])


def new_name(name):
    """Releases differ in whether they name an unexpected parameter as it is stored."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


# --- AutoModelForSequenceClassification: the head is new --------------------------------------------------------------


@pytest.mark.claim("heads.classifier-random")
def test_classification_head_is_new(masked_lm, evidence):
    """The classifier is missing in the checkpoint, and its weights are others after each load."""
    first, loading = AutoModelForSequenceClassification.from_pretrained(masked_lm, output_loading_info=True)
    second = AutoModelForSequenceClassification.from_pretrained(masked_lm)
    evidence["class"] = type(first).__name__
    evidence["missing"] = sorted(loading["missing_keys"])
    assert type(first).__name__ == "BertForSequenceClassification"
    assert set(loading["missing_keys"]) >= CLASSIFIER
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


@pytest.mark.claim("heads.classifier-random.only-head")
def test_only_the_classifier_is_new(masked_lm, evidence):
    """Slide 24: all parameters are trained ones, the task head excepted."""
    _, loading = AutoModelForSequenceClassification.from_pretrained(masked_lm, output_loading_info=True)
    evidence["missing"] = sorted(loading["missing_keys"])
    assert set(loading["missing_keys"]) == CLASSIFIER


@pytest.mark.correction("heads.classifier-random.only-head")
def test_pooler_is_new_as_well(masked_lm):
    """The pooler between encoder and classifier is new too, and random."""
    model, loading = AutoModelForSequenceClassification.from_pretrained(masked_lm, output_loading_info=True)
    pooler = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert set(loading["missing_keys"]) == CLASSIFIER | pooler
    assert_normal(model.bert.pooler.dense.weight, scale=0.02, what="weights of the pooler")


@pytest.mark.claim("heads.classifier-random.published-only-head")
def test_only_the_classifier_is_new_beside_the_published_checkpoint(published, evidence):
    """With the checkpoint as it was published, which has a pooler, the classifier alone is new."""
    model, loading = AutoModelForSequenceClassification.from_pretrained(published, output_loading_info=True)
    evidence["missing"] = sorted(loading["missing_keys"])
    assert set(loading["missing_keys"]) == CLASSIFIER
    assert parameters_that_differ(model, checkpoints.state("bert", "pretraining")) == CLASSIFIER


@pytest.mark.claim("heads.classifier-random.encoder-trained")
def test_encoder_below_the_new_head_is_the_trained_one(masked_lm):
    """Every parameter of embeddings and layers has the checkpoint's values."""
    trained = checkpoints.state("bert", "masked-lm")
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm)
    below_the_head = {name for name, _ in model.named_parameters() if name.startswith(("bert.embed", "bert.enc"))}
    assert below_the_head == {name for name in trained if name.startswith("bert.")}
    assert not below_the_head & parameters_that_differ(model, trained)


@pytest.mark.claim("heads.classifier-random.old-head-left-out")
def test_masked_lm_head_does_not_become_the_classifier(masked_lm):
    """The masked-LM head is left out, as under `AutoModel`."""
    _, loading = AutoModelForSequenceClassification.from_pretrained(masked_lm, output_loading_info=True)
    assert set(loading["unexpected_keys"]) == MASKED_LM_HEAD


@pytest.mark.claim("heads.classifier-random.normal")
def test_classifier_weights_are_normal(masked_lm):
    """The new weights are normal draws with mean 0 and standard deviation 0.02."""
    # 512 labels make 16,384 weights.
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm, num_labels=512)
    assert model.classifier.weight.shape == (512, 32)
    assert_normal(model.classifier.weight, scale=0.02, what="weights of the classifier")


@pytest.mark.claim("heads.classifier-random.initializer-range")
def test_initializer_range_is_the_standard_deviation(masked_lm):
    """The config's `initializer_range` decides how far the new weights spread."""
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm, num_labels=512, initializer_range=0.05)
    assert_normal(model.classifier.weight, scale=0.05, what="weights of the classifier")


@pytest.mark.claim("heads.classifier-random.bias")
def test_classifier_bias_is_random(masked_lm, evidence):
    """Slide 22 says it of all missing parameters of the head: the bias is one of them."""
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm)
    evidence["bias"] = model.classifier.bias.tolist()
    assert model.classifier.bias.any()


@pytest.mark.correction("heads.classifier-random.bias")
def test_classifier_bias_is_zero(masked_lm):
    """The new bias is zero, for any number of labels."""
    model = AutoModelForSequenceClassification.from_pretrained(masked_lm, num_labels=512)
    assert torch.equal(model.classifier.bias, torch.zeros(512))


@pytest.mark.claim("heads.classifier-random.repeats")
def test_same_seed_gives_the_same_classifier(masked_lm):
    """Two loads under the same seed are equal in every parameter; under another seed they are not."""

    def load(seed):
        torch.manual_seed(seed)
        return dict(AutoModelForSequenceClassification.from_pretrained(masked_lm).named_parameters())

    first, again, other = load(1), load(1), load(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.claim("heads.classifier-random.warned")
def test_a_warning_names_the_new_head(masked_lm, logged, evidence):
    """A warning names the classifier's parameters."""
    AutoModelForSequenceClassification.from_pretrained(masked_lm)
    evidence["logged"] = [f"{record.levelname} {record.getMessage()}" for record in logged]
    assert any(all(name in warning for name in CLASSIFIER) for warning in warnings_in(logged))


@pytest.mark.claim("heads.classifier-random.predictions")
def test_predictions_of_a_new_head_are_arbitrary(masked_lm):
    """One checkpoint, one text, another load: other logits."""
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        first, second = (AutoModelForSequenceClassification.from_pretrained(masked_lm)(ids).logits for _ in range(2))
    assert first.shape == (2, 2)
    assert not torch.allclose(first, second, atol=1e-3)
