"""Slide 16: what it takes to run a trained model, and which call fails, and how, where one of the four is missing."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from fixtures import checkpoints, vocabulary

# No part of these names is a model type: some releases guess one from the name where the config has none.
FOLDER = "course"
REPO = "course/masked"
# From the Hub: a pickle makes some releases ask elsewhere, the oldest read nothing else.
WEIGHTS = "safetensors" if find_spec("safetensors") else "bin"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """All four things, in the folder `FOLDER` of the working directory."""
    monkeypatch.chdir(tmp_path)
    return checkpoints.write(Path(FOLDER), "bert", "masked-lm", weights=WEIGHTS, with_tokenizer=True)


@pytest.fixture(params=["folder", "Hub"])
def model_id(request, hub):
    """What the lecture's calls load from. A spec puts the folder on the Hub when it has taken away what it takes."""
    return FOLDER if request.param == "folder" else REPO


def without_model_type(folder):
    """Take the entry that names the architecture out of the config."""
    content = {name: value for name, value in checkpoints.config().items() if name != "model_type"}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.claim("load.needs-four-things")
def test_all_four(hub, folder, model_id):
    """With all four a sentence goes in and a score for each entry of the vocabulary comes out."""
    hub.model(REPO, folder)

    config = AutoConfig.from_pretrained(model_id)
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForMaskedLM.from_pretrained(model_id, config=config)
    inputs = tokenizer("the first [MASK]", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits

    assert logits.shape == (1, len(tokenizer("the first [MASK]")["input_ids"]), vocabulary.WORDPIECE_SIZE)
    assert bool(torch.isfinite(logits).all())


# One taken away at a time: "model architecture and model task"


@pytest.mark.claim("load.needs-four-things.architecture")
@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModelForMaskedLM])
def test_without_the_architecture(hub, folder, model_id, auto_class, evidence):
    """Where the config does not name the architecture, config and model are refused: `model_type` is missing."""
    without_model_type(folder)
    hub.model(REPO, folder)

    with pytest.raises(ValueError, match="model_type") as refusal:
        auto_class.from_pretrained(model_id)

    evidence["error"] = str(refusal.value)[:200]


@pytest.mark.claim("load.needs-four-things.task")
def test_without_the_task(tmp_path, evidence):
    """An architecture that has no head for the task is refused; the error names the Auto class of the task."""
    folder = checkpoints.write(tmp_path / FOLDER, "gpt2", "causal-lm", weights="bin")

    with pytest.raises(ValueError, match="AutoModelForMaskedLM") as refusal:
        AutoModelForMaskedLM.from_pretrained(folder)

    evidence["error"] = str(refusal.value)[:200]


# "Config of model"


@pytest.mark.claim("load.needs-four-things.config")
@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModelForMaskedLM])
def test_without_the_config(hub, folder, model_id, auto_class, evidence):
    """Without config.json neither the config nor the model is loaded."""
    (folder / "config.json").unlink()
    hub.model(REPO, folder)

    with pytest.raises((OSError, ValueError)) as refusal:
        auto_class.from_pretrained(model_id)

    evidence["error"] = f"{refusal.type.__name__}: {refusal.value}"[:200]


@pytest.mark.claim("load.needs-four-things.config.named")
def test_missing_config_told(hub, folder, model_id, evidence):
    """The error says that config.json is missing: it is another one than where only an entry of it is missing."""
    errors = []
    without_model_type(folder)
    for _ in range(2):
        hub.reset()
        hub.model(REPO, folder)
        with pytest.raises((OSError, ValueError)) as refusal:
            AutoModelForMaskedLM.from_pretrained(model_id)
        errors.append(f"{refusal.type.__name__}: {refusal.value}")
        (folder / "config.json").unlink(missing_ok=True)

    evidence["without the entry"], evidence["without the file"] = (error[:200] for error in errors)
    assert errors[0] != errors[1]


@pytest.mark.correction("load.needs-four-things.config.named")
def test_missing_config_told_as_a_missing_entry(hub, folder, model_id, evidence):
    """The error speaks of `model_type`, as if there were a file that lacks it."""
    (folder / "config.json").unlink()
    hub.model(REPO, folder)

    with pytest.raises(ValueError, match="model_type") as refusal:
        AutoModelForMaskedLM.from_pretrained(model_id)

    evidence["error"] = str(refusal.value)[:200]


# "Tokenizer of model"


@pytest.mark.claim("load.needs-four-things.tokenizer")
def test_without_the_tokenizer(hub, folder, model_id, evidence):
    """Without any of its files the tokenizer is not loaded, from a folder or from the Hub."""
    for name in TOKENIZER:
        (folder / name).unlink()
    hub.model(REPO, folder)

    try:
        tokenizer = AutoTokenizer.from_pretrained(model_id)
    except (OSError, ValueError, TypeError, ImportError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["entries"] = sorted(tokenizer.get_vocab())
        raise AssertionError(f"loaded, with a vocabulary of {len(tokenizer)} entries")


@pytest.mark.correction("load.needs-four-things.tokenizer")
def test_nothing_fails_without_the_tokenizer(hub, folder, model_id, evidence):
    """Nothing fails: a tokenizer of five special tokens is made up, and the model takes what it says for words."""
    for name in TOKENIZER:
        (folder / name).unlink()
    hub.model(REPO, folder)

    tokenizer = AutoTokenizer.from_pretrained(model_id)
    inputs = tokenizer("the first time", return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForMaskedLM.from_pretrained(model_id)(**inputs).logits

    evidence["ids"] = inputs["input_ids"].tolist()
    assert len(tokenizer) == 5
    assert tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]) == ["[CLS]", "[UNK]", "[UNK]", "[UNK]", "[SEP]"]
    assert logits.shape == (1, 5, vocabulary.WORDPIECE_SIZE)


@pytest.mark.correction("load.needs-four-things.tokenizer")
def test_size_of_the_tokenizer_tells(hub, folder, model_id):
    """A tokenizer without its files is smaller than the config says; the real one is as large."""
    complete = AutoTokenizer.from_pretrained(folder)
    for name in TOKENIZER:
        (folder / name).unlink()
    hub.model(REPO, folder)

    config = AutoConfig.from_pretrained(model_id)
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    with pytest.raises(AssertionError):
        assert len(tokenizer) == config.vocab_size

    tokenizer = complete
    assert len(tokenizer) == config.vocab_size


@pytest.mark.claim("load.needs-four-things.tokenizer.only-for-text")
def test_model_needs_no_tokenizer(hub, folder, model_id):
    """The tokenizer is needed for text alone: the model loads without its files and takes ids."""
    for name in TOKENIZER:
        (folder / name).unlink()
    hub.model(REPO, folder)

    model = AutoModelForMaskedLM.from_pretrained(model_id)
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([[vocabulary.SPECIAL_IDS[token] for token in ("[CLS]", "[MASK]", "[SEP]")]])
        ).logits

    assert logits.shape == (1, 3, vocabulary.WORDPIECE_SIZE)


# "Finally, trained parameters"


@pytest.mark.claim("load.needs-four-things.parameters")
def test_without_the_parameters(hub, folder, model_id, evidence):
    """Without a weights file the model is refused, and the error names a file that would do."""
    for file in (*folder.glob("*.safetensors"), *folder.glob("*.bin")):
        file.unlink()
    hub.model(REPO, folder)

    AutoConfig.from_pretrained(model_id)
    AutoTokenizer.from_pretrained(model_id)
    with pytest.raises(OSError, match=r"pytorch_model\.bin") as refusal:
        AutoModelForMaskedLM.from_pretrained(model_id)

    evidence["error"] = str(refusal.value)[:300]


@pytest.mark.claim("load.needs-four-things.parameters.each")
def test_without_one_parameter(tmp_path, evidence):
    """A checkpoint that lacks a single parameter of the model is refused."""
    folder = checkpoints.write(tmp_path / FOLDER, weights="bin")
    state = torch.load(folder / "pytorch_model.bin")
    del state["bert.encoder.layer.0.attention.self.query.weight"]
    torch.save(state, folder / "pytorch_model.bin")

    try:
        _, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["missing"] = sorted(info["missing_keys"])
        raise AssertionError("loaded")


@pytest.mark.correction("load.needs-four-things.parameters.each")
def test_missing_parameter_made_up(tmp_path):
    """It is loaded: the parameter is drawn at random, another one each time, and only a warning says so."""
    model_id = checkpoints.write(tmp_path / FOLDER, weights="bin")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    state = torch.load(model_id / "pytorch_model.bin")
    del state[name]
    torch.save(state, model_id / "pytorch_model.bin")

    with torch.random.fork_rng(devices=[]):
        model, info = AutoModelForMaskedLM.from_pretrained(
            model_id,
            output_loading_info=True,
        )
        other = AutoModelForMaskedLM.from_pretrained(model_id)

    with pytest.raises(AssertionError):
        assert not info["missing_keys"]
    assert set(info["missing_keys"]) == {name}
    differ = [key for key, value in model.state_dict().items() if not torch.equal(value, other.state_dict()[key])]
    assert differ == [name]
