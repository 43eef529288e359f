"""Slides 16 to 31 tell a student to load what strangers have uploaded: that runs none of their code, and reads and
writes no file but theirs."""

import contextlib
import functools
import json
import os
import pickle
import tempfile
import textwrap
from importlib.util import find_spec
from pathlib import Path

import datasets
import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from fixtures import checkpoints

REPO = "course/masked"
# From the Hub: a pickle makes some releases ask elsewhere (see test_weight_files.py), the oldest read nothing else.
WEIGHTS = "safetensors" if find_spec("safetensors") else "bin"
WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
# A word that no vocabulary here has: who knows it has read a file that is none of its business.
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """The working directory and the one above are the spec's own; nobody sits at the terminal."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


@pytest.fixture
def ran(tmp_path):
    """A file that the code in a repo creates when it runs."""
    return tmp_path / "the-code-has-run"


def write(folder, files):
    """Write the files of a repo (path to text or bytes) into a folder."""
    for name, content in files.items():
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Path(folder)


@functools.cache
def whole_repo():
    """The files of a complete BERT repo."""
    with tempfile.TemporaryDirectory() as folder:
        return checkpoints.files(checkpoints.write(Path(folder), weights=WEIGHTS, with_tokenizer=True))


def bert_files(config=None, tokenizer_config=None):
    """The files of a complete BERT repo, with these entries added to config.json and tokenizer_config.json."""
    files = dict(whole_repo())
    for name, entries in (("config.json", config), ("tokenizer_config.json", tokenizer_config)):
        files[name] = json.dumps(json.loads(files[name]) | (entries or {})).encode()
    return files


# Code in a weights file: "Download `pytorch_model.bin` [...] Load parameters."


class Payload:
    """An object whose pickle, when it is read, opens a file for writing: it could as well run any program."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def pickle_with_code(file, ran, layout):
    """Write a weights file with all parameters and a payload in one of the layouts that `torch.load` knows."""
    content = {**checkpoints.state(), "payload": Payload(ran)}
    if layout == "plain":
        file.write_bytes(pickle.dumps(content["payload"], protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=layout == "zip")


@pytest.mark.claim("weights.files.pickle-code")
@pytest.mark.parametrize("layout", ["zip", "before-1.6", "plain"])
def test_code_in_a_pickle_not_run(ran, layout, evidence):
    """Code in `pytorch_model.bin` is not run: the file is refused."""
    folder = checkpoints.write(Path("model"), weights="bin")
    pickle_with_code(folder / "pytorch_model.bin", ran, layout)
    with contextlib.suppress(RuntimeError, pickle.UnpicklingError):
        torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert ran.exists(), "the payload is harmless: this proves nothing"
    ran.unlink()

    with pytest.raises((pickle.UnpicklingError, OSError, ValueError, RuntimeError)) as refusal:
        AutoModelForMaskedLM.from_pretrained(folder)

    evidence["error"] = f"{refusal.type.__name__}: {refusal.value}"[:300]
    assert not ran.exists()


@pytest.mark.needs("safetensors")
@pytest.mark.claim("weights.files.pickle-code.beside")
def test_code_beside_safetensors_not_run(ran):
    """A pickle with code that lies beside `model.safetensors` is not read, and the model is loaded."""
    folder = checkpoints.write(Path("model"))
    pickle_with_code(folder / "pytorch_model.bin", ran, "zip")

    model = AutoModelForMaskedLM.from_pretrained(folder)

    assert torch.equal(model.get_input_embeddings().weight, checkpoints.state()[WORD_EMBEDDINGS])
    assert not ran.exists()


# Code in a repo. The class that runs is the library's: "`bert` here corresponds to the code logic of
# `transformers.models.bert`"


def code_files(ran):
    """A config class, a model class and a tokenizer class, in two files that leave a trace when they are imported."""
    trace = f"open({str(ran)!r}, 'w').close()\n"
    model = """
        import torch
        from transformers import PretrainedConfig, PreTrainedModel

        class HomemadeConfig(PretrainedConfig):
            model_type = "homemade"

        class HomemadeModel(PreTrainedModel):
            config_class = HomemadeConfig

            def __init__(self, config):
                super().__init__(config)
                self.layer = torch.nn.Linear(2, 2)
    """
    tokenizer = """
        from transformers import BertTokenizer

        class HomemadeTokenizer(BertTokenizer):
            pass
    """
    return {
        "homemade_model.py": trace + textwrap.dedent(model),
        "homemade_tokenizer.py": trace + textwrap.dedent(tokenizer),
    }


MODEL_CODE = {
    "AutoConfig": "homemade_model.HomemadeConfig",
    "AutoModelForMaskedLM": "homemade_model.HomemadeModel",
}
TOKENIZER_CODE = {"AutoTokenizer": ["homemade_tokenizer.HomemadeTokenizer", None]}


def homemade_config(**entries):
    """The config of an architecture that the library does not have, and where its code is."""
    return json.dumps({"model_type": "homemade", "auto_map": MODEL_CODE} | entries)


@pytest.mark.claim("load.needs-four-things.no-code")
@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModelForMaskedLM])
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_code_of_an_unknown_architecture(hub, ran, place, auto_class, evidence, capsys):
    """A repo that brings an architecture of its own is refused, and none of its code runs."""
    files = {"config.json": homemade_config(), **code_files(ran)}
    hub.model(REPO, files)
    model_id = write("folder", files) if place == "folder" else REPO

    # Some releases ask whether to run the code, and find nobody to answer.
    with pytest.raises((ValueError, EOFError)) as refusal:
        auto_class.from_pretrained(model_id)

    evidence["printed"] = capsys.readouterr().out.replace(str(Path.cwd()), "")
    evidence["error"] = str(refusal.value).replace(str(Path.cwd()), "")[:300]
    assert "trust_remote_code" in (evidence["printed"] if refusal.type is EOFError else str(refusal.value))
    assert [request for request in hub.log.files(REPO) if ".py" in request] == []
    assert not ran.exists()


@pytest.mark.claim("load.needs-four-things.no-code.known-architecture")
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_code_of_a_known_architecture(hub, ran, place):
    """A BERT repo that brings code of its own is loaded with the library's code; config, tokenizer and model."""
    files = bert_files({"auto_map": MODEL_CODE}, {"auto_map": TOKENIZER_CODE}) | code_files(ran)
    hub.model(REPO, files)
    model_id = write("folder", files) if place == "folder" else REPO

    for auto_class in (AutoConfig, AutoTokenizer, AutoModelForMaskedLM):
        assert type(auto_class.from_pretrained(model_id)).__module__.startswith("transformers.")

    assert not ran.exists()


@pytest.mark.correction("load.needs-four-things.no-code.known-architecture")
@pytest.mark.parametrize("place", ["folder", "Hub"])
@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModelForMaskedLM])
def test_code_of_a_known_architecture_is_asked_for(hub, ran, place, auto_class):
    """A BERT repo that brings code of its own is refused without `trust_remote_code=True`; no code runs."""
    files = bert_files({"auto_map": MODEL_CODE}) | code_files(ran)
    hub.model(REPO, files)
    model_id = write("folder", files) if place == "folder" else REPO

    with pytest.raises(ValueError, match="trust_remote_code"):
        auto_class.from_pretrained(model_id)

    assert not ran.exists()


@pytest.mark.claim("load.needs-four-things.no-code.unknown-tokenizer")
def test_code_of_an_unknown_tokenizer(hub, ran, evidence):
    """Where only the repo's code has the class that `tokenizer_class` names, that code does not run either."""
    entries = {"tokenizer_class": "HomemadeTokenizer", "auto_map": TOKENIZER_CODE}
    hub.model(REPO, bert_files(None, entries) | code_files(ran))

    try:
        evidence["class"] = type(AutoTokenizer.from_pretrained(REPO)).__name__
    except ValueError as error:
        evidence["error"] = str(error)[:200]

    assert not ran.exists()


# A variable that nobody reads: a process for these specs alone. Where another spec's code has used the folder for
# modules first, as datasets does, old releases do not look into it again.
ALONE = {"CLAIMS_PROCESS": "code of repos"}


def load_and_trust(model_id, auto_class="AutoConfig", **options):
    """Load with the code that the repo names; returns the class. For `fresh_process`, where that code then stays."""
    import transformers

    loaded = getattr(transformers, auto_class).from_pretrained(model_id, trust_remote_code=True, **options)
    return type(loaded).__name__


@pytest.mark.claim("load.needs-four-things.no-code.trusted")
@pytest.mark.parametrize(
    ("auto_class", "loaded", "file"),
    [
        ("AutoConfig", "HomemadeConfig", "homemade_model.py"),
        ("AutoTokenizer", "HomemadeTokenizer", "homemade_tokenizer.py"),
    ],
)
def test_trusted_code_runs(hub, ran, fresh_process, auto_class, loaded, file, evidence):
    """`trust_remote_code=True` runs it, also for BERT: the Python file is downloaded and imported."""
    # The oldest releases look for code only where a class is named, as it is when a tokenizer is saved.
    tokenizer = {"tokenizer_class": "HomemadeTokenizer", "auto_map": TOKENIZER_CODE}
    hub.model(REPO, bert_files({"auto_map": MODEL_CODE}, tokenizer) | code_files(ran))

    evidence["class"] = fresh_process(load_and_trust, REPO, auto_class, env=ALONE)

    evidence["requests"] = hub.log.files(REPO)
    assert evidence["class"] == loaded
    assert f"GET {file}" in hub.log.files(REPO)
    assert ran.exists()


@pytest.mark.claim("load.needs-four-things.no-code.trusted-repo-only")
def test_code_of_another_repo(hub, ran, fresh_process, evidence):
    """`trust_remote_code=True` is trust in the repo that is named: code of another repo does not run."""
    hub.model("stranger/code", code_files(ran))
    elsewhere = {name: f"stranger/code--{path}" for name, path in MODEL_CODE.items()}
    hub.model(REPO, {"config.json": homemade_config(auto_map=elsewhere)})

    try:
        fresh_process(load_and_trust, REPO, env=ALONE)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error)[:200]

    evidence["requests"], evidence["ran"] = hub.log.files("stranger/code"), ran.exists()
    assert not evidence["ran"]


@pytest.mark.correction("load.needs-four-things.no-code.trusted-repo-only")
def test_config_sends_for_code_of_another_repo(hub, ran, fresh_process, evidence):
    """The config may name a class of any other repo: that repo's code is downloaded and runs."""
    hub.model("stranger/code", code_files(ran))
    elsewhere = {name: f"stranger/code--{path}" for name, path in MODEL_CODE.items()}
    hub.model(REPO, {"config.json": homemade_config(auto_map=elsewhere)})

    evidence["class"] = fresh_process(load_and_trust, REPO, env=ALONE)

    assert "GET homemade_model.py" in hub.log.files("stranger/code")
    assert ran.exists()


@pytest.mark.claim("load.needs-four-things.no-code.trusted-revision")
def test_code_of_the_pinned_revision(hub, ran, fresh_process):
    """With a commit hash as `revision`, trusted code is the code of that commit, whatever was uploaded since."""
    harmless = code_files(os.devnull)
    repo = hub.model(REPO, {"config.json": homemade_config(), **harmless})
    read = repo.sha
    repo.commit(code_files(ran))

    assert fresh_process(lambda: load_and_trust(REPO, revision=read), env=ALONE) == "HomemadeConfig"

    assert not ran.exists()
    assert fresh_process(load_and_trust, REPO, env=ALONE) == "HomemadeConfig"
    assert ran.exists()


@pytest.mark.correction("load.needs-four-things.no-code.trusted-revision")
def test_the_newest_code_runs(hub, ran, fresh_process):
    """With a commit hash as `revision`, the config is that commit's, and the code that runs is the newest."""
    repo = hub.model(REPO, {"config.json": homemade_config(hidden_size=32), **code_files(os.devnull)})
    read = repo.sha
    repo.commit({"config.json": homemade_config(hidden_size=64), **code_files(ran)})

    def load():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(REPO, revision=read, trust_remote_code=True).hidden_size

    assert fresh_process(load, env=ALONE) == 32
    assert ran.exists()


# Files that a repo names: each has to be one of its own


def outside_weights():
    """A checkpoint of other values than the repo's, beside the folder `model`. Its file's name is the library's own."""
    return checkpoints.write(Path("outside"), weights=WEIGHTS, seed=1)


SHARD = "model.safetensors" if WEIGHTS == "safetensors" else "pytorch_model.bin"
PATHS = ["relative", "absolute"]


def path_to(name, path):
    """How a repo could name a file beside its folder."""
    return f"../{name}" if path == "relative" else str(Path(name).resolve())


def index_of(file):
    """An index that says that all parameters are in `file`."""
    return json.dumps({"metadata": {}, "weight_map": dict.fromkeys(checkpoints.state(), file)})


@pytest.mark.claim("weights.files.shards-inside")
@pytest.mark.parametrize("path", PATHS)
def test_index_cannot_name_files_outside(path, evidence):
    """An index that names a weights file outside the model's folder is refused."""
    outside_weights()
    config = json.dumps(checkpoints.config())
    folder = write("model", {"config.json": config, f"{SHARD}.index.json": index_of(path_to(f"outside/{SHARD}", path))})

    try:
        model = AutoModelForMaskedLM.from_pretrained(folder)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["read"] = torch.equal(model.get_input_embeddings().weight, checkpoints.state(seed=1)[WORD_EMBEDDINGS])
        raise AssertionError("loaded")


@pytest.mark.correction("weights.files.shards-inside")
@pytest.mark.parametrize("path", PATHS)
def test_index_names_files_outside(path):
    """It is followed anywhere: the parameters are those of the file outside."""
    outside_weights()
    config = json.dumps(checkpoints.config())
    folder = write("model", {"config.json": config, f"{SHARD}.index.json": index_of(path_to(f"outside/{SHARD}", path))})

    model = AutoModelForMaskedLM.from_pretrained(folder)

    assert torch.equal(model.get_input_embeddings().weight, checkpoints.state(seed=1)[WORD_EMBEDDINGS])


@pytest.mark.claim("weights.files.shards-inside.hub")
@pytest.mark.parametrize("path", PATHS)
def test_index_on_the_hub_cannot_name_files_outside(hub, path, evidence):
    """An index of a repo on the Hub that names a file outside the repo is refused."""
    outside_weights()
    config = json.dumps(checkpoints.config())
    hub.model(REPO, {"config.json": config, f"{SHARD}.index.json": index_of(path_to(f"outside/{SHARD}", path))})

    try:
        AutoModelForMaskedLM.from_pretrained(REPO)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error).replace(str(Path.cwd()), "")[:200]
    else:
        raise AssertionError("loaded")


@pytest.mark.claim("weights.files.named-inside")
@pytest.mark.parametrize("path", PATHS)
def test_config_cannot_name_weights_outside(path, evidence):
    """A config that names a weights file outside the model's folder (`transformers_weights`) is refused."""
    outside_weights()
    named = {"transformers_weights": path_to(f"outside/{SHARD}", path)}
    folder = write("model", {"config.json": json.dumps(checkpoints.config() | named)})

    try:
        AutoModelForMaskedLM.from_pretrained(folder)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error).replace(str(Path.cwd()), "")[:200]
    else:
        raise AssertionError("loaded")


@pytest.mark.correction("weights.files.named-inside")
@pytest.mark.parametrize("path", PATHS)
def test_config_names_weights_outside(path):
    """It is followed anywhere: the parameters are those of the file outside."""
    outside_weights()
    named = {"transformers_weights": path_to(f"outside/{SHARD}", path)}
    folder = write("model", {"config.json": json.dumps(checkpoints.config() | named)})

    model = AutoModelForMaskedLM.from_pretrained(folder)

    assert torch.equal(model.get_input_embeddings().weight, checkpoints.state(seed=1)[WORD_EMBEDDINGS])


@pytest.mark.claim("load.needs-four-things.config-inside")
def test_config_cannot_name_a_config_outside():
    """A config cannot send the library to another config outside the folder (`configuration_files`)."""
    write(".", {"config.4.0.0.json": json.dumps(checkpoints.config() | {"num_hidden_layers": 1})})
    named = {"configuration_files": ["../config.4.0.0.json"]}
    folder = write("model", {"config.json": json.dumps(checkpoints.config() | named)})

    assert AutoConfig.from_pretrained(folder).num_hidden_layers == 2


@pytest.mark.correction("load.needs-four-things.config-inside")
def test_config_names_a_config_outside():
    """It can: the file outside is read instead."""
    write(".", {"config.4.0.0.json": json.dumps(checkpoints.config() | {"num_hidden_layers": 1})})
    named = {"configuration_files": ["../config.4.0.0.json"]}
    folder = write("model", {"config.json": json.dumps(checkpoints.config() | named)})

    assert AutoConfig.from_pretrained(folder).num_hidden_layers == 1


def outside_vocabularies():
    """Files outside the repo's folder that a tokenizer could take for its own, each with the secret word."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    state = json.loads(bert_files()["tokenizer.json"])
    state["model"]["vocab"] = {word: number for number, word in enumerate([*special, SECRET])}
    state["added_tokens"] = []
    state["post_processor"] = None
    files = {
        "vocab_file": "\n".join([*special, SECRET]) + "\n",
        "tokenizer_file": json.dumps(state),
        "tokenizer.4.0.0.json": json.dumps(state),
        "special_tokens_map_file": json.dumps({"additional_special_tokens": [SECRET]}),
        "added_tokens_file": json.dumps({SECRET: 5_000}),
    }
    for folder in (".", ".."):  # "../" may be meant from the repo's folder or from the working directory
        write(folder, files)


ENTRIES = {
    "vocab_file": "tokenizer.class-first.files-inside",
    "tokenizer_file": "tokenizer.class-first.files-inside",
    "special_tokens_map_file": "tokenizer.class-first.files-inside.special-tokens",
    "added_tokens_file": "tokenizer.class-first.files-inside.special-tokens",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("entry", [pytest.param(entry, marks=pytest.mark.claim(id)) for entry, id in ENTRIES.items()])
@pytest.mark.parametrize("place", ["folder", "Hub"])
def test_tokenizer_cannot_name_files_outside(hub, place, entry, path, evidence):
    """An entry of tokenizer_config.json cannot make the tokenizer read a file outside the repo."""
    outside_vocabularies()
    files = bert_files(None, {entry: path_to(entry, path)})
    if entry == "vocab_file":
        del files["tokenizer.json"]  # it would go before
    hub.model(REPO, files)
    folder = write("folder", files)

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder if place == "folder" else REPO)
    except (OSError, ValueError, TypeError) as error:
        evidence["error"] = str(error).replace(str(Path.cwd()), "")[:200]
    else:
        evidence["known"] = SECRET in tokenizer.get_vocab()
        assert not evidence["known"]


@pytest.mark.correction("tokenizer.class-first.files-inside")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("entry", ["vocab_file", "tokenizer_file"])
def test_tokenizer_names_files_outside(hub, entry, path):
    """`vocab_file` and `tokenizer_file` can, even on the Hub: the vocabulary is that of the local file they name."""
    outside_vocabularies()
    files = bert_files(None, {entry: path_to(entry, path)})
    if entry == "vocab_file":
        del files["tokenizer.json"]  # it would go before
    hub.model(REPO, files)

    assert SECRET in AutoTokenizer.from_pretrained(REPO).get_vocab()


def names_a_version(name):
    """The files of a BERT repo which says that its tokenizer.json for release 4.0.0 and newer is called `name`."""
    return bert_files(None, {"fast_tokenizer_files": [name]})


@pytest.mark.claim("tokenizer.class-first.version-inside")
@pytest.mark.parametrize("path", PATHS)
def test_version_of_a_tokenizer_cannot_lie_outside(path, evidence):
    """A tokenizer.json for newer releases (`fast_tokenizer_files`) is not read from outside the folder."""
    outside_vocabularies()
    folder = write("folder", names_a_version(path_to("tokenizer.4.0.0.json", path)))

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["known"] = SECRET in tokenizer.get_vocab()
        assert not evidence["known"]


@pytest.mark.correction("tokenizer.class-first.version-inside")
@pytest.mark.parametrize("path", PATHS)
def test_version_of_a_tokenizer_outside(path):
    """It is read from anywhere: the tokenizer's vocabulary is that of the file outside."""
    outside_vocabularies()
    folder = write("folder", names_a_version(path_to("tokenizer.4.0.0.json", path)))

    assert SECRET in AutoTokenizer.from_pretrained(folder).get_vocab()


@pytest.mark.claim("tokenizer.class-first.version-inside.hub")
@pytest.mark.parametrize("path", PATHS)
def test_version_of_a_tokenizer_on_the_hub_cannot_lie_outside(hub, path, evidence):
    """From the Hub such a tokenizer is refused, or that file is not read."""
    outside_vocabularies()
    hub.model(REPO, names_a_version(path_to("tokenizer.4.0.0.json", path)))

    try:
        tokenizer = AutoTokenizer.from_pretrained(REPO)
    except (OSError, ValueError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["known"] = SECRET in tokenizer.get_vocab()
        assert not evidence["known"]


@pytest.mark.correction("tokenizer.class-first.version-inside.hub")
@pytest.mark.parametrize("path", PATHS)
def test_version_of_a_tokenizer_on_the_hub_outside(hub, path):
    """It is read from anywhere: the vocabulary is that of a file on the machine that loads."""
    outside_vocabularies()
    hub.model(REPO, names_a_version(path_to("tokenizer.4.0.0.json", path)))

    assert SECRET in AutoTokenizer.from_pretrained(REPO).get_vocab()


@pytest.mark.claim("tokenizer.class-first.saved-inside")
def test_tokenizer_saved_inside(evidence):
    """Saving a tokenizer, as `Trainer` does in each checkpoint, writes to that folder, whatever a template's name."""
    templates = [{"name": "default", "template": "1"}, {"name": "../../climbed", "template": "2"}]
    folder = write("folder", bert_files(None, {"chat_template": templates}))
    before = set(Path.cwd().rglob("*"))

    try:
        AutoTokenizer.from_pretrained(folder).save_pretrained("deep/below/saved")
    except ValueError as error:
        evidence["error"] = str(error)[:200]

    saved = Path("deep/below/saved").resolve()
    new = {file for file in set(Path.cwd().rglob("*")) - before if file.is_file()}
    evidence["outside"] = sorted(str(file.relative_to(Path.cwd())) for file in new if saved not in file.parents)
    assert evidence["outside"] == []


@pytest.mark.correction("tokenizer.class-first.saved-inside")
def test_template_saved_outside():
    """A template's name may begin with `../`: saving the tokenizer writes it, as a .jinja file, where that leads."""
    templates = [{"name": "default", "template": "1"}, {"name": "../../climbed", "template": "2"}]
    folder = write("folder", bert_files(None, {"chat_template": templates}))

    AutoTokenizer.from_pretrained(folder).save_pretrained("deep/below/saved")

    assert Path("deep/below/climbed.jinja").read_text(encoding="utf-8") == "2"


# A dataset's repo: "load_dataset"


def script(ran):
    """A loading script, as datasets had them up to 3: Python that makes the table. It leaves a trace."""
    code = f"""
        import datasets

        open({str(ran)!r}, "w").close()

        class Homemade(datasets.GeneratorBasedBuilder):
            def _info(self):
                return datasets.DatasetInfo(features=datasets.Features({{"text": datasets.Value("string")}}))

            def _split_generators(self, manager):
                return [datasets.SplitGenerator(name="train", gen_kwargs={{}})]

            def _generate_examples(self):
                yield 0, {{"text": "one row"}}
    """
    return textwrap.dedent(code)


@pytest.mark.claim("data.splits.no-script-code")
@pytest.mark.parametrize("place", ["folder", "Hub"])
@pytest.mark.parametrize("with_data", [False, True])
def test_loading_script_not_run(hub, ran, place, with_data, evidence):
    """A loading script in a dataset's repo does not run, be there a file with data beside it or not."""
    files = {"table.py": script(ran)} | ({"train.txt": "a row\n"} if with_data else {})
    hub.dataset("course/table", files)
    write("table", files)

    try:
        datasets.load_dataset("./table" if place == "folder" else "course/table")
    except (RuntimeError, ValueError, OSError) as error:
        evidence["error"] = f"{type(error).__name__}: {error}".replace(str(Path.cwd()), "")[:200]

    evidence["ran"] = ran.exists()
    assert not evidence["ran"]


@pytest.mark.correction("data.splits.no-script-code")
def test_loading_script_run(ran):
    """It is Python that runs as soon as the dataset is loaded."""
    write("table", {"table.py": script(ran)})

    table = datasets.load_dataset("./table")

    assert table["train"][0] == {"text": "one row"}
    assert ran.exists()


@pytest.mark.claim("data.splits.no-script-code.trusted")
@pytest.mark.needs("datasets>=2.16")
def test_loading_script_not_run_even_if_trusted(hub, ran, evidence):
    """Not even `trust_remote_code=True` runs it."""
    hub.dataset("course/table", {"table.py": script(ran)})

    try:
        datasets.load_dataset("course/table", trust_remote_code=True)
    except (RuntimeError, ValueError, OSError) as error:
        evidence["error"] = f"{type(error).__name__}: {error}"[:200]

    evidence["ran"] = ran.exists()
    assert not evidence["ran"]


@pytest.mark.correction("data.splits.no-script-code.trusted")
@pytest.mark.needs("datasets>=2.16")
def test_trusted_loading_script_run(ran):
    """`trust_remote_code=True` runs it."""
    write("table", {"table.py": script(ran)})

    datasets.load_dataset("./table", trust_remote_code=True)

    assert ran.exists()


def names_data(path):
    """A dataset whose card says that its table is another file than the one it has."""
    card = {"configs": [{"config_name": "default", "data_files": path}]}
    return {"README.md": f"---\n{json.dumps(card)}\n---\n", "train.txt": "a row of its own\n"}


@pytest.mark.claim("data.splits.files-inside")
@pytest.mark.parametrize("path", PATHS)
def test_card_cannot_name_files_outside(path, evidence):
    """A dataset in a folder cannot have the lines of a file outside for rows."""
    write(".", {"diary.txt": SECRET})
    write("table", names_data(path_to("diary.txt", path)))

    try:
        table = datasets.load_dataset("./table")
    except (OSError, ValueError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["rows"] = table["train"]["text"][:]
        assert SECRET not in evidence["rows"]


@pytest.mark.correction("data.splits.files-inside")
@pytest.mark.parametrize("path", PATHS)
def test_card_names_files_outside(path):
    """It can: the card of the dataset is followed anywhere."""
    write(".", {"diary.txt": SECRET})
    write("table", names_data(path_to("diary.txt", path)))

    assert datasets.load_dataset("./table")["train"]["text"][:] == [SECRET]


@pytest.mark.claim("data.splits.files-inside.hub")
def test_card_on_the_hub_cannot_name_files_outside(hub, evidence):
    """A dataset on the Hub cannot have the lines of a local file for rows."""
    write(".", {"diary.txt": SECRET})
    rows = {}
    for path in PATHS:
        hub.dataset(f"course/{path}", names_data(path_to("diary.txt", path)))
        try:
            rows[path] = datasets.load_dataset(f"course/{path}")["train"]["text"][:]
        except (OSError, ValueError, datasets.builder.DatasetGenerationError) as error:
            evidence[f"{path}: error"] = str(error).replace(str(Path.cwd()), "")[:200]

    evidence["rows"] = rows
    assert [path for path in rows if SECRET in rows[path]] == []


@pytest.mark.correction("data.splits.files-inside.hub")
def test_card_on_the_hub_names_files_outside(hub):
    """It can: an absolute path in the card is one of the machine that loads the dataset."""
    write(".", {"diary.txt": SECRET})
    hub.dataset("course/table", names_data(path_to("diary.txt", "absolute")))

    assert datasets.load_dataset("course/table")["train"]["text"][:] == [SECRET]
