"""Slides 39 and 40: a trained model from `from_pretrained`, a random one like it from `from_config`."""

from importlib.util import find_spec

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForMaskedLM
from transformers.activations import ACT2FN

from fixtures import checkpoints
from fixtures.normal import assert_normal

# New parameters and masks are drawn from torch's global generator.
pytestmark = pytest.mark.usefixtures("seeded")

AUTO_CLASSES = [name for name in dir(transformers) if name == "AutoModel" or name.startswith("AutoModelFor")]

# Models of a mapping made by their own class: family, head, Auto class.
OWN_CLASSES = [
    ("bert", "pretraining", "AutoModelForPreTraining"),
    ("roberta", "masked-lm", "AutoModelForMaskedLM"),
    ("distilbert", "masked-lm", "AutoModelForMaskedLM"),
    ("albert", "masked-lm", "AutoModelForMaskedLM"),
    ("electra", "pretraining", "AutoModelForPreTraining"),
    ("gpt2", "causal-lm", "AutoModelForCausalLM"),
    ("t5", "seq2seq", "AutoModelForSeq2SeqLM"),
]


@pytest.fixture
def model_id(hub, tmp_path):
    """The id of a masked-LM checkpoint, in both formats if there are two: a lone pickle is sent off for conversion."""
    for weights in ("bin", "safetensors") if find_spec("safetensors") else ("bin",):
        checkpoints.write(tmp_path / "model", "bert", "masked-lm", weights=weights)
    hub.model("tiny/bert", tmp_path / "model")
    return "tiny/bert"


@pytest.fixture
def config():
    """The config of that checkpoint, without a Hub."""
    return transformers.BertConfig.from_dict(checkpoints.config("bert", "masked-lm"))


def requested_weights(hub, model_id):
    hub.log.settle()
    return [request for request in hub.log.files(model_id) if request.endswith((".bin", ".safetensors"))]


# --- slide 39: from_pretrained gives the trained model ----------------------------------------------------------------


@pytest.mark.claim("init.pretrained-is-trained")
def test_from_pretrained_gives_trained_parameters(model_id, hub, evidence):
    """Every parameter is the one that was trained; the weights are fetched."""
    # Slide 39 prints this call, and slide 20 the config.
    config = AutoConfig.from_pretrained(model_id)
    model = AutoModelForMaskedLM.from_pretrained(model_id, config=config)
    trained = checkpoints.state("bert", "masked-lm")
    evidence["requests"] = requested_weights(hub, model_id)
    assert [request for request in evidence["requests"] if request.startswith("GET")]
    assert {name for name, _ in model.named_parameters()} == set(trained)
    assert all(torch.equal(parameter, trained[name]) for name, parameter in model.named_parameters())


@pytest.mark.claim("init.pretrained-is-trained.evaluation-mode")
def test_trained_model_is_in_evaluation_mode(model_id):
    """No module is in training mode: dropout is off, and the same text gives the same logits."""
    model = AutoModelForMaskedLM.from_pretrained(model_id)
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        assert torch.equal(model(ids).logits, model(ids).logits)
    assert not [module for module in model.modules() if module.training]


@pytest.mark.claim("init.pretrained-is-trained.trainable")
def test_trained_model_can_be_trained_further(model_id):
    """Every parameter asks for a gradient."""
    model = AutoModelForMaskedLM.from_pretrained(model_id)
    assert all(parameter.requires_grad for parameter in model.parameters())


# --- slide 40: from_config gives a random one -------------------------------------------------------------------------


@pytest.mark.claim("init.config-is-random")
def test_from_config_gives_random_parameters(model_id, evidence):
    """As printed: a model of the same class, none of whose parameters is the trained one, and other ones each time."""
    config = AutoConfig.from_pretrained(model_id)
    model = AutoModelForMaskedLM.from_config(config)
    again = dict(AutoModelForMaskedLM.from_config(config).named_parameters())
    trained = checkpoints.state("bert", "masked-lm")
    evidence["class"] = type(model).__name__
    assert evidence["class"] == "BertForMaskedLM"
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, trained[name]), name
        if parameter.ndim == 2:
            assert not torch.equal(parameter, again[name]), name


@pytest.mark.claim("init.config-is-random.no-weights")
def test_no_weight_file_is_requested(model_id, hub, evidence):
    """Of the whole repo, the two printed lines ask for the config alone."""
    AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(model_id))
    hub.log.settle()
    evidence["requests"] = hub.log.files(model_id)
    assert "GET config.json" in evidence["requests"]
    assert not [request for request in evidence["requests"] if not request.endswith(" config.json")]


@pytest.mark.claim("init.config-is-random.no-request")
def test_from_config_sends_no_request(model_id, hub, evidence):
    """With the config at hand, `from_config` asks the Hub for nothing at all."""
    config = AutoConfig.from_pretrained(model_id)
    hub.log.settle()
    asked_for_the_config = len(hub.log)
    AutoModelForMaskedLM.from_config(config)
    hub.log.settle()
    evidence["requests"] = [str(request) for request in hub.log[asked_for_the_config:]]
    assert asked_for_the_config > 0
    assert not evidence["requests"]


@pytest.mark.claim("init.config-is-random.same-architecture")
def test_random_model_has_the_names_and_shapes_of_the_trained_one(model_id, evidence):
    """The same tensors by name, shape and type, the same modules, and the entries of the checkpoint's config."""
    config = AutoConfig.from_pretrained(model_id)
    random = AutoModelForMaskedLM.from_config(config)
    trained = AutoModelForMaskedLM.from_pretrained(model_id, config=config)
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in random.state_dict().items()}
    evidence["tensors"] = len(shapes)
    assert shapes == {name: (tensor.shape, tensor.dtype) for name, tensor in trained.state_dict().items()}
    assert [type(module) for module in random.modules()] == [type(module) for module in trained.modules()]
    entries = checkpoints.config("bert", "masked-lm").items()
    assert all(random.config.to_dict()[key] == value for key, value in entries)
    assert all(trained.config.to_dict()[key] == value for key, value in entries)


def class_and_shapes(model):
    return type(model).__name__, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.claim("init.config-is-random.every-class")
@pytest.mark.parametrize(
    ("family", "head", "auto_class"),
    [
        *OWN_CLASSES,
        *(
            ("bert", "masked-lm", name)
            for name in AUTO_CLASSES
            if transformers.BertConfig in getattr(transformers, name)._model_mapping
        ),
    ],
)
def test_both_ways_give_the_same_architecture(family, head, auto_class, tmp_path, evidence):
    """Any Auto class gives the same class with the same names and shapes, from the config and from the checkpoint."""
    folder = checkpoints.write(tmp_path / "model", family, head, weights="bin")
    random = getattr(transformers, auto_class).from_config(AutoConfig.from_pretrained(folder))
    loaded = getattr(transformers, auto_class).from_pretrained(folder)
    evidence["class"] = type(random).__name__
    assert class_and_shapes(random) == class_and_shapes(loaded)


@pytest.mark.claim("init.config-is-random.refused")
@pytest.mark.parametrize(
    "auto_class",
    [name for name in AUTO_CLASSES if transformers.BertConfig not in getattr(transformers, name)._model_mapping],
)
def test_unsuited_auto_class_makes_no_random_model(auto_class, config):
    """An Auto class without a model class for BERT refuses the config and names it."""
    with pytest.raises(ValueError, match="BertConfig"):
        getattr(transformers, auto_class).from_config(config)


@pytest.mark.claim("init.config-is-random.tied-decoder")
def test_decoder_of_a_random_model_is_tied(config):
    """The decoder is the same storage as the word embeddings, as in the trained model."""
    model = AutoModelForMaskedLM.from_config(config)
    assert model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


@pytest.mark.claim("init.config-is-random.every-parameter")
def test_every_parameter_is_random(config, evidence):
    """Slide 39 says it of the parameters, without exception: no two models have one in common."""
    first, second = (dict(AutoModelForMaskedLM.from_config(config).named_parameters()) for _ in range(2))
    evidence["equal"] = sorted(name for name in first if torch.equal(first[name], second[name]))
    evidence["differing"] = len(first) - len(evidence["equal"])
    assert not evidence["equal"]


@pytest.mark.correction("init.config-is-random.every-parameter")
def test_biases_and_layer_norms_are_constant(config):
    """Matrices are random; biases are 0, the weights of LayerNorms 1."""
    model = AutoModelForMaskedLM.from_config(config)
    norms = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.LayerNorm)}
    for name, parameter in model.named_parameters():
        if id(parameter) in norms:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        elif parameter.ndim == 1:
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
        else:
            assert parameter.unique().numel() > parameter.numel() / 2, name


@pytest.mark.correction("init.config-is-random.every-parameter")
def test_embedding_of_the_padding_token_is_zero(config):
    """In the word embeddings, the row of the padding token, and only that, is zero."""
    model = AutoModelForMaskedLM.from_config(config)
    zero = [row for row, values in enumerate(model.get_input_embeddings().weight) if not values.any()]
    assert zero == [config.pad_token_id]


def word_embeddings(model):
    return model.bert.embeddings.word_embeddings.weight[1:]  # row 0 belongs to the padding token


def position_embeddings(model):
    return model.bert.embeddings.position_embeddings.weight


def dense_layers(model):
    return torch.cat([m.weight.flatten() for m in model.bert.encoder.modules() if isinstance(m, torch.nn.Linear)])


@pytest.mark.claim("init.config-is-random.normal")
@pytest.mark.parametrize("values", [word_embeddings, position_embeddings, dense_layers])
def test_random_values_are_normal(values, config, evidence):
    """Each kind of matrix is drawn from a normal distribution with mean 0 and standard deviation 0.02."""
    drawn = values(AutoModelForMaskedLM.from_config(config))
    evidence["values"] = drawn.numel()
    assert drawn.numel() >= 16_384
    assert_normal(drawn, scale=0.02, what=values.__name__)


@pytest.mark.claim("init.config-is-random.initializer-range")
def test_initializer_range_is_the_standard_deviation(config):
    """The config's `initializer_range` decides how far the values spread."""
    config.initializer_range = 0.1
    model = AutoModelForMaskedLM.from_config(config)
    assert_normal(word_embeddings(model), scale=0.1, what="word embeddings")
    assert_normal(dense_layers(model), scale=0.1, what="dense layers")


@pytest.mark.claim("init.config-is-random.repeats")
def test_same_seed_gives_the_same_model(config):
    """The values come from torch's global generator: the same seed gives the same model, another seed another."""

    def make(seed):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(config).state_dict()

    first, again, other = make(1), make(1), make(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["cls.predictions.decoder.weight"], other["cls.predictions.decoder.weight"])


@pytest.mark.claim("init.config-is-random.moves-generator")
def test_making_a_model_moves_the_global_generator(config):
    """What is drawn from the generator afterwards depends on whether a model was made before."""
    torch.manual_seed(0)
    without = torch.rand(4)
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(config)
    assert not torch.equal(torch.rand(4), without)


@pytest.mark.claim("init.config-is-random.training-mode")
def test_random_model_is_in_training_mode(config):
    """It is made to be trained: every module that knows the mode is in training mode, and dropout is on."""
    model = AutoModelForMaskedLM.from_config(config)
    ids = torch.arange(5, 69).reshape(2, 32)
    with torch.no_grad():
        assert not torch.equal(model(ids).logits, model(ids).logits)
    # In 4.23 all models share one activation, which another one may have set to evaluation: it knows no mode.
    shared = {id(activation) for activation in ACT2FN.values()}
    assert all(module.training for module in model.modules() if id(module) not in shared)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.claim("init.config-is-random.loss-of-chance")
def test_random_model_is_as_good_as_chance(config, evidence):
    """It knows nothing: its loss is about the logarithm of the vocabulary size."""
    # Its logits have a standard deviation of 0.02 * sqrt(32) = 0.11: the mean loss of 1,024 tokens is ln V + 0.006,
    # give or take 0.004.
    model = AutoModelForMaskedLM.from_config(config).eval()
    ids = torch.randint(5, config.vocab_size, (16, 64))
    with torch.no_grad():
        loss = float(model(ids, labels=ids.flip(0)).loss)
    evidence["loss"] = round(loss, 4)
    evidence["ln of the vocabulary size"] = round(float(torch.tensor(config.vocab_size).log()), 4)
    assert loss == pytest.approx(evidence["ln of the vocabulary size"], abs=0.05)


@pytest.mark.claim("init.config-is-random.config-untouched")
def test_config_can_be_used_again(config):
    """`from_config` leaves the config as it was: the model of slide 39 can still be loaded with it."""
    before = config.to_dict()
    AutoModelForMaskedLM.from_config(config)
    assert config.to_dict() == before
