"""Slide 25: the files that the parameters come from: which ones, which is preferred, and what if they are damaged."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import hf_hub_download
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM

from fixtures import checkpoints
from fixtures.parameters import changed

REPO = "course/masked"
FILES = {"bin": "pytorch_model.bin", "safetensors": "model.safetensors"}
SAFETENSORS = pytest.param("safetensors", marks=pytest.mark.needs("safetensors"))
FORMATS = ["bin", SAFETENSORS]
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture(autouse=True)
def _random_state():
    """What is made anew is drawn from torch's global generator: it is as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Checkpoints lie in the working directory, so that the library's messages name them without a path."""
    monkeypatch.chdir(tmp_path)


def asked_elsewhere(hub):
    """What was asked of addresses other than the Hub's. It is what is measured here, so it is taken out of the record
    in which the suite looks for leaks. (Nothing got out: the local Hub, as the proxy, refused.)"""
    hub.log.settle()
    asked = sorted({f"{request.method} {request.path}" for request in hub.escapes})
    hub.escapes.clear()
    return asked


# "`pytorch_model.bin`/`model.safetensors` file containing trained parameters"


@pytest.mark.claim("weights.files")
@pytest.mark.parametrize("weights", FORMATS)
def test_either_file_is_enough(weights):
    """Either file, alone, gives every trained parameter."""
    folder = checkpoints.write(Path("model"), weights=weights)

    model = AutoModelForMaskedLM.from_pretrained(folder)

    assert changed(model, checkpoints.state()) == []


@pytest.mark.claim("weights.files.downloaded")
@pytest.mark.parametrize("weights", FORMATS)
def test_downloaded_from_the_hub(hub, weights, evidence):
    """From the Hub the config and that one file are downloaded, the first time; then neither."""
    hub.model(REPO, checkpoints.write(Path("model"), weights=weights))

    model = AutoModelForMaskedLM.from_pretrained(REPO)
    asked_elsewhere(hub)
    evidence["first"] = hub.log.files(REPO)
    hub.log.clear()
    AutoModelForMaskedLM.from_pretrained(REPO)
    asked_elsewhere(hub)

    evidence["second"] = hub.log.files(REPO)
    downloads = [request for request in evidence["first"] if request.startswith("GET")]
    assert sorted(downloads) == ["GET config.json", f"GET {FILES[weights]}"]
    assert hub.log.file_bytes == 0
    assert changed(model, checkpoints.state()) == []


@pytest.fixture
def both():
    """A folder with both files. The parameters of seed 0 are in `model.safetensors`, those of seed 1 in the pickle."""
    folder = checkpoints.write(Path("both"), seed=0)
    shutil.copy(checkpoints.write(Path("other"), weights="bin", seed=1) / "pytorch_model.bin", folder)
    return folder


@pytest.mark.needs("safetensors")
@pytest.mark.claim("weights.files.safetensors-preferred")
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_safetensors_preferred(hub, both, place, evidence):
    """Where both are there, `model.safetensors` is taken, and the pickle is not even asked for."""
    hub.model(REPO, both)

    model = AutoModelForMaskedLM.from_pretrained(both if place == "folder" else REPO)

    evidence["requests"] = hub.log.files(REPO)
    assert changed(model, checkpoints.state(seed=0)) == []
    assert [request for request in hub.log.files(REPO) if "pytorch_model" in request] == []


@pytest.mark.needs("safetensors")
@pytest.mark.claim("weights.files.use-safetensors")
def test_use_safetensors_chooses(both):
    """`use_safetensors=True` takes the one, `use_safetensors=False` the other."""
    one = AutoModelForMaskedLM.from_pretrained(both, use_safetensors=True)
    other = AutoModelForMaskedLM.from_pretrained(both, use_safetensors=False)

    assert changed(one, checkpoints.state(seed=0)) == []
    assert changed(other, checkpoints.state(seed=1)) == []


@pytest.mark.needs("safetensors")
@pytest.mark.claim("weights.files.use-safetensors.refused")
def test_other_file_only(evidence):
    """Where only the file is there that was not asked for, it is not taken."""
    for weights, use_safetensors in (("bin", True), ("safetensors", False)):
        folder = checkpoints.write(Path(weights), weights=weights)
        try:
            AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=use_safetensors)
        except OSError as error:
            evidence[f"use_safetensors={use_safetensors}"] = str(error)[:200]
        else:
            evidence[f"use_safetensors={use_safetensors}"] = f"loaded from {FILES[weights]}"
    assert not [outcome for outcome in evidence.values() if outcome.startswith("loaded")]


@pytest.mark.needs("safetensors")
@pytest.mark.correction("weights.files.use-safetensors.refused")
def test_lone_pickle_is_taken():
    """`use_safetensors=True` takes a pickle that is the only file; `use_safetensors=False` refuses the other one."""
    model = AutoModelForMaskedLM.from_pretrained(checkpoints.write(Path("bin"), weights="bin"), use_safetensors=True)
    assert changed(model, checkpoints.state()) == []
    folder = checkpoints.write(Path("safetensors"), weights="safetensors")
    with pytest.raises(OSError, match="pytorch_model"):
        AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=False)


# Who is asked for them


@pytest.mark.needs("safetensors")
@pytest.mark.claim("weights.files.hub-only")
def test_safetensors_from_the_hub_alone(hub, evidence):
    """A repo with `model.safetensors` is loaded without asking anyone but the Hub."""
    hub.model(REPO, checkpoints.write(Path("model")))

    AutoModelForMaskedLM.from_pretrained(REPO)

    evidence["asked elsewhere"] = asked_elsewhere(hub)
    assert evidence["asked elsewhere"] == []


@pytest.mark.claim("weights.files.hub-only.pickle")
def test_pickle_from_the_hub_alone(hub, evidence):
    """A repo with `pytorch_model.bin` is loaded without asking anyone but the Hub."""
    hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))

    AutoModelForMaskedLM.from_pretrained(REPO)

    evidence["asked elsewhere"] = asked_elsewhere(hub)
    evidence["asked of the Hub"] = [
        f"{request.method} {request.path}" for request in hub.log if "/api/" in request.path
    ]
    assert evidence["asked elsewhere"] == []


@pytest.mark.correction("weights.files.hub-only.pickle")
def test_conversion_is_ordered(hub, evidence):
    """A background thread looks for a converted copy among the repo's pull requests, then asks a Space to make one."""
    repo = hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))

    model = AutoModelForMaskedLM.from_pretrained(REPO)
    elsewhere = asked_elsewhere(hub)

    evidence["asked elsewhere"] = elsewhere
    assert elsewhere == ["CONNECT safetensors-convert.hf.space:443"]
    assert any(request.path == f"/api/models/{REPO}/discussions" for request in hub.log)
    assert len(repo.commits) == 1
    assert changed(model, checkpoints.state()) == []


@pytest.mark.needs("transformers>=4.57")
@pytest.mark.correction("weights.files.hub-only.pickle")
def test_conversion_switched_off(hub, monkeypatch):
    """`DISABLE_SAFETENSORS_CONVERSION=true` in the environment stops that."""
    hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))
    monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", "")  # and as it was, after this spec
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "true"

    AutoModelForMaskedLM.from_pretrained(REPO)

    assert asked_elsewhere(hub) == []


# More than one file, and none


@pytest.mark.claim("weights.files.shards")
@pytest.mark.parametrize("place", ["folder", "Hub"])
@pytest.mark.parametrize("weights", FORMATS)
def test_shards(hub, weights, place, evidence):
    """Parameters that are spread over several files, with an index, are all loaded."""
    folder = checkpoints.write(Path("model"), weights=weights, shards=3)
    hub.model(REPO, folder)

    model = AutoModelForMaskedLM.from_pretrained(folder if place == "folder" else REPO)
    asked_elsewhere(hub)

    evidence["downloads"] = sorted(request for request in hub.log.files(REPO) if request.startswith("GET"))
    assert changed(model, checkpoints.state()) == []


@pytest.mark.claim("weights.files.shard-missing")
@pytest.mark.parametrize("weights", FORMATS)
def test_missing_shard(weights, evidence):
    """Where one of the files is missing that the index names, the error names it."""
    folder = checkpoints.write(Path("model"), weights=weights, shards=3)
    name = FILES[weights].replace(".", "-00002-of-00003.")
    (folder / name).unlink()

    with pytest.raises(Exception, match=name) as refusal:
        AutoModelForMaskedLM.from_pretrained(folder)

    evidence["error"] = f"{type(refusal.value).__name__}: {refusal.value}"[:200]


@pytest.mark.claim("weights.files.neither")
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_neither_file(hub, place, evidence):
    """Where neither is there the model is not loaded, and the error names both."""
    folder = checkpoints.write(Path("model"), weights="bin")
    (folder / "pytorch_model.bin").unlink()
    hub.model(REPO, folder)

    with pytest.raises(OSError) as refusal:  # noqa: PT011 - what it has to name is asserted below
        AutoModelForMaskedLM.from_pretrained(folder if place == "folder" else REPO)
    asked_elsewhere(hub)

    evidence["error"] = str(refusal.value)[:300]
    assert "pytorch_model.bin" in str(refusal.value)
    assert "model.safetensors" in str(refusal.value)


@pytest.mark.correction("weights.files.neither")
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_error_names_the_pickle_alone(hub, place):
    """The model is not loaded, but the error names the pickle and not the other file."""
    folder = checkpoints.write(Path("model"), weights="bin")
    (folder / "pytorch_model.bin").unlink()
    hub.model(REPO, folder)

    with pytest.raises(OSError, match="pytorch_model") as refusal:
        AutoModelForMaskedLM.from_pretrained(folder if place == "folder" else REPO)
    asked_elsewhere(hub)

    assert "safetensors" not in str(refusal.value)


# Damaged files


@pytest.mark.claim("weights.files.truncated")
@pytest.mark.parametrize("weights", FORMATS)
def test_truncated_file(weights, evidence):
    """A weights file that ends too early is refused, wherever it ends."""
    folder = checkpoints.write(Path("model"), weights=weights)
    content = (folder / FILES[weights]).read_bytes()
    errors = set()

    @settings(max_examples=12)
    @given(length=st.integers(0, len(content) - 1))
    @example(length=0)
    @example(length=len(content) - 1)
    def refused(length):
        replace(folder / FILES[weights], content[:length])
        with pytest.raises(Exception) as refusal:  # noqa: PT011 - its type is evidence
            AutoModelForMaskedLM.from_pretrained(folder)
        errors.add(refusal.type.__name__)

    refused()
    evidence["errors"] = sorted(errors)


@pytest.mark.claim("weights.files.garbage")
@pytest.mark.parametrize("weights", FORMATS)
def test_garbage_of_the_right_length(weights, evidence):
    """A weights file of the right length with every byte wrong is refused."""
    folder = checkpoints.write(Path("model"), weights=weights)
    content = (folder / FILES[weights]).read_bytes()
    replace(folder / FILES[weights], bytes(byte ^ 0xFF for byte in content))

    with pytest.raises(Exception) as refusal:  # noqa: PT011 - its type is evidence
        AutoModelForMaskedLM.from_pretrained(folder)

    evidence["error"] = f"{refusal.type.__name__}: {refusal.value}"[:200]


class Call:
    """An object that, when it is unpickled, calls a function: it makes the folder `executed`."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def with_a_call():
    """A checkpoint whose pickle has, beside the parameters, a call in it."""
    folder = checkpoints.write(Path("model"), weights="bin")
    torch.save(checkpoints.state() | {"extra": Call()}, folder / FILES["bin"])
    return folder


@pytest.mark.claim("weights.files.no-code")
def test_call_in_a_pickle_is_refused(evidence):
    """A pickle with a call in it is refused, and the call is not made."""
    folder = with_a_call()

    with pytest.raises(Exception) as refusal:  # noqa: PT011 - its type is evidence
        AutoModelForMaskedLM.from_pretrained(folder)

    evidence["error"] = f"{refusal.type.__name__}: {refusal.value}"[:200]
    assert not Path("executed").exists()


def replace(file, content):
    """Write a file anew; what has the old one open or mapped into memory keeps that."""
    file.unlink()
    file.write_bytes(content)


def with_one_wrong_bit(weights):
    """A checkpoint in whose weights file one bit is wrong: the highest of the exponent of the first word embedding.

    It turns a float32 below 0.1 into one above 10^30.
    """
    folder = checkpoints.write(Path("model"), weights=weights)
    content = bytearray((folder / FILES[weights]).read_bytes())
    start = content.index(checkpoints.state()[EMBEDDINGS].numpy().tobytes())
    content[start + 3] ^= 0x40
    replace(folder / FILES[weights], content)
    return folder


WRONG_BIT = [
    pytest.param("bin", marks=pytest.mark.claim("weights.files.wrong-bit.pickle")),
    pytest.param("safetensors", marks=[pytest.mark.claim("weights.files.wrong-bit"), pytest.mark.needs("safetensors")]),
]
WRONG_BIT_LOADED = [
    pytest.param("bin", marks=pytest.mark.correction("weights.files.wrong-bit.pickle")),
    pytest.param(
        "safetensors", marks=[pytest.mark.correction("weights.files.wrong-bit"), pytest.mark.needs("safetensors")]
    ),
]


@pytest.mark.parametrize("weights", WRONG_BIT)
def test_wrong_bit_noticed(weights, evidence):
    """A weights file with a wrong bit in a parameter is refused."""
    folder = with_one_wrong_bit(weights)

    try:
        model = AutoModelForMaskedLM.from_pretrained(folder)
    except (OSError, RuntimeError, ValueError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["first value"] = model.get_input_embeddings().weight.tolist()[0][0]
        raise AssertionError(f"loaded, with the value {evidence['first value']}")


@pytest.mark.parametrize("weights", WRONG_BIT_LOADED)
def test_wrong_bit_loaded(weights):
    """It is loaded: the one value is wrong, all others are the trained ones."""
    folder = with_one_wrong_bit(weights)

    model = AutoModelForMaskedLM.from_pretrained(folder)

    loaded, trained = dict(model.named_parameters())[EMBEDDINGS], checkpoints.state()[EMBEDDINGS]
    assert changed(model, checkpoints.state()) == [EMBEDDINGS]
    assert int((loaded != trained).sum()) == 1
    assert abs(loaded.tolist()[0][0]) > 1e30


# Damaged on the way


@pytest.mark.claim("weights.files.download-verified")
def test_download_verified(hub, evidence):
    """What is stored of a weights file is what the Hub has: content with another SHA-256 than announced is refused."""
    repo = hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))
    hub.corrupt("*/pytorch_model.bin", times=1)

    stored = Path(hf_hub_download(REPO, "pytorch_model.bin"))

    sent, announced = (hashlib.sha256(data).hexdigest() for data in (stored.read_bytes(), repo.files()[stored.name]))
    evidence.update(announced=announced, stored=sent)
    assert sent == announced


@pytest.mark.correction("weights.files.download-verified")
def test_wrong_content_is_replaced_by_force(hub):
    """The wrong content stays and cannot be loaded, until the file is downloaded again by force."""
    hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))
    hub.corrupt("*/pytorch_model.bin", times=1)

    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - what garbage gives differs
            AutoModelForMaskedLM.from_pretrained(REPO)
        asked_elsewhere(hub)
    hf_hub_download(REPO, "pytorch_model.bin", force_download=True)
    model = AutoModelForMaskedLM.from_pretrained(REPO)
    asked_elsewhere(hub)

    assert changed(model, checkpoints.state()) == []


@pytest.mark.needs("transformers>=4.27")
@pytest.mark.correction("weights.files.download-verified")
def test_wrong_content_stays_in_the_cache(hub):
    """The wrong content stays: loading fails from now on, until the file is downloaded again by force."""
    model_id = REPO
    hub.model(model_id, checkpoints.write(Path("model"), weights="bin"))
    hub.corrupt("*/pytorch_model.bin", times=1)

    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - what garbage gives differs
            AutoModelForMaskedLM.from_pretrained(model_id)
        asked_elsewhere(hub)
    model = AutoModelForMaskedLM.from_pretrained(
        model_id,
        force_download=True,
    )
    asked_elsewhere(hub)

    assert changed(model, checkpoints.state()) == []


@pytest.mark.claim("weights.files.download-cut")
def test_cut_download_completed(hub, evidence):
    """A download that breaks off once is completed."""
    repo = hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))
    hub.cut("*/pytorch_model.bin", after=100_000, times=1)

    try:
        stored = Path(hf_hub_download(REPO, "pytorch_model.bin"))
    except Exception as error:  # each HTTP library has its own
        raise AssertionError("not completed") from error
    finally:
        evidence["requests"] = [f"{r.method} {r.file}: {r.status}, {r.sent} bytes" for r in hub.log if r.file]

    assert stored.read_bytes() == repo.files()["pytorch_model.bin"]


@pytest.mark.correction("weights.files.download-cut")
def test_cut_download_is_not_completed(hub, evidence):
    """It fails and the next one completes it; or what has come is taken for the file, until it is forced to load."""
    repo = hub.model(REPO, checkpoints.write(Path("model"), weights="bin"))
    hub.cut("*/pytorch_model.bin", after=100_000, times=1)

    try:
        first = Path(hf_hub_download(REPO, "pytorch_model.bin")).read_bytes()
    except Exception as error:  # each HTTP library has its own
        evidence["error"] = type(error).__name__
        first = None
    then = Path(hf_hub_download(REPO, "pytorch_model.bin")).read_bytes()
    forced = Path(hf_hub_download(REPO, "pytorch_model.bin", force_download=True)).read_bytes()

    whole = repo.files()["pytorch_model.bin"]
    assert (first, then) in [(None, whole), (whole[:100_000], whole[:100_000])]
    assert forced == whole
