"""Slide 23: where a tokenizer comes from, which class it gets, and where its logic is."""

import functools
import importlib
import json
import string
import sys
import time
import unicodedata
from pathlib import Path

import pytest
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoTokenizer, BertTokenizer

from fixtures import checkpoints, spelling, vocabulary

REPO = "course/uncased"
MODULE = "transformers.models.bert.tokenization_bert"
# What the loaded files are called in a BERT repo; a request for another one is for an optional file.
NEEDED = {"config.json", "tokenizer_config.json", "vocab.txt", "tokenizer.json"}


def tokenizer_files(config=None, tokenizer_config=None):
    """The files of a BERT repo without its weights, with these entries added to the two JSON files."""
    files = {"config.json": json.dumps(checkpoints.config() | (config or {})).encode(), **vocabulary.wordpiece_files()}
    entries = json.loads(files["tokenizer_config.json"]) | (tokenizer_config or {})
    return files | {"tokenizer_config.json": json.dumps(entries).encode()}


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def repo(hub):
    """A BERT repo without weights on the local Hub."""
    return hub.model(REPO, tokenizer_files())


@pytest.fixture
def no_waiting(monkeypatch):
    """The seconds that were to be slept: nobody waits for them."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


# "Also obey the order of retrieving": a local path, then the cache, then the Hub


@pytest.mark.claim("tokenizer.same-order")
def test_same_sources_as_a_config(hub, tmp_path, monkeypatch, evidence):
    """The first content comes from the Hub, the next from the cache, and a folder with the id's name goes before."""
    monkeypatch.chdir(tmp_path)
    for auto_class, repo_id in ((AutoConfig, "course/config"), (AutoTokenizer, "course/tokenizer")):
        hub.model(repo_id, tokenizer_files())
        content = []
        for _ in range(2):
            hub.log.clear()
            auto_class.from_pretrained(repo_id)
            content.append(hub.log.file_bytes)
        write(tmp_path / repo_id, tokenizer_files())
        hub.log.clear()
        auto_class.from_pretrained(repo_id)

        evidence[auto_class.__name__] = {"bytes sent": content, "requests for the folder": len(hub.log)}
        assert content[0] > 0
        assert content[1] == 0
        assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.local-first")
@pytest.mark.parametrize("spell", [str, Path, lambda path: f"{path}/", lambda path: f"./{path.name}"])
def test_local_folder_without_requests(hub, tmp_path, monkeypatch, spell):
    """A local folder is read without any request, however its path is written."""
    folder = write(tmp_path / "folder", tokenizer_files())
    monkeypatch.chdir(tmp_path)

    tokenizer = AutoTokenizer.from_pretrained(spell(folder))

    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.folder-shadows")
def test_folder_named_like_the_id(hub, tmp_path, monkeypatch):
    """A folder in the working directory that has the id's name is taken instead of the repo."""
    hub.model("bert-base-uncased", tokenizer_files())
    write(tmp_path / "bert-base-uncased", tokenizer_files(tokenizer_config={"model_max_length": 7}))
    monkeypatch.chdir(tmp_path)

    assert AutoTokenizer.from_pretrained("bert-base-uncased").model_max_length == 7
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.folder-shadows")
def test_empty_folder_named_like_the_id(hub, tmp_path, monkeypatch, evidence):
    """Even an empty folder of that name is taken: the Hub is not asked for what it lacks."""
    hub.model("bert-base-uncased", tokenizer_files())
    (tmp_path / "bert-base-uncased").mkdir()
    monkeypatch.chdir(tmp_path)

    try:
        evidence["entries"] = len(AutoTokenizer.from_pretrained("bert-base-uncased"))
    except (OSError, ValueError, ImportError) as error:  # with the last, a package that reads other formats is missed
        evidence["error"] = str(error)[:200]

    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.cache-second")
def test_no_request_with_a_cached_copy(hub, repo, evidence):
    """Once the files are in the cache, no request is sent."""
    AutoTokenizer.from_pretrained(REPO)
    hub.log.clear()

    AutoTokenizer.from_pretrained(REPO)

    evidence["requests"] = [f"{request.method} {request.path}" for request in hub.log]
    assert len(hub.log) == 0


@pytest.mark.correction("tokenizer.same-order.cache-second")
def test_requests_without_content(hub, repo):
    """With a cached copy the Hub is asked what is new, and no content is sent."""
    AutoTokenizer.from_pretrained(REPO)
    hub.log.clear()

    AutoTokenizer.from_pretrained(REPO)

    assert len(hub.log) > 0
    assert hub.log.file_bytes == 0


@pytest.mark.correction("tokenizer.same-order.cache-second")
def test_no_request_with_a_flag(hub, repo):
    """With `local_files_only=True` the cached copy is loaded, and the Hub is not asked."""
    model_id = REPO
    AutoTokenizer.from_pretrained(model_id)
    hub.log.clear()

    tokenizer = AutoTokenizer.from_pretrained(model_id, local_files_only=True)

    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.cache-pinned")
def test_no_request_with_a_pinned_commit(hub, repo, evidence):
    """With a commit hash as `revision` and its files in the cache, no request is sent."""
    AutoTokenizer.from_pretrained(REPO, revision=repo.sha)
    hub.log.clear()

    AutoTokenizer.from_pretrained(REPO, revision=repo.sha)

    evidence["requests"] = [f"{request.method} {request.path}" for request in hub.log]
    assert len(hub.log) == 0


@pytest.mark.correction("tokenizer.same-order.cache-pinned")
def test_pinned_commit_needs_a_flag(hub, repo):
    """Only `local_files_only=True` keeps a pinned, cached tokenizer from asking the Hub."""
    AutoTokenizer.from_pretrained(REPO, revision=repo.sha)
    hub.log.clear()

    AutoTokenizer.from_pretrained(REPO, revision=repo.sha)
    assert hub.log.file_bytes == 0
    assert len(hub.log) > 0
    hub.log.clear()
    AutoTokenizer.from_pretrained(REPO, revision=repo.sha, local_files_only=True)
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.cache-offline")
def test_cached_copy_with_local_files_only(hub, repo):
    """`local_files_only=True` loads the cached copy without any request."""
    AutoTokenizer.from_pretrained(REPO)
    hub.log.clear()

    tokenizer = AutoTokenizer.from_pretrained(REPO, local_files_only=True)

    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.cache-offline")
def test_cached_copy_offline(hub, repo, fresh_process):
    """With `HF_HUB_OFFLINE=1` the cached copy is loaded without any request."""
    AutoTokenizer.from_pretrained(REPO)
    hub.log.clear()

    def entries():
        from transformers import AutoTokenizer

        return len(AutoTokenizer.from_pretrained(REPO))

    assert fresh_process(entries, env={"HF_HUB_OFFLINE": "1"}) == vocabulary.WORDPIECE_SIZE
    assert len(hub.log) == 0


@pytest.mark.claim("tokenizer.same-order.cache-unreachable")
def test_cached_copy_at_once(hub, repo, no_waiting, evidence):
    """A cached tokenizer loads at once where the Hub cannot be reached."""
    AutoTokenizer.from_pretrained(REPO)
    hub.refuse()

    tokenizer = AutoTokenizer.from_pretrained(REPO)

    evidence["seconds to wait"] = sum(no_waiting)
    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE
    assert sum(no_waiting) == 0


@pytest.mark.correction("tokenizer.same-order.cache-unreachable")
def test_cached_copy_at_once_with_a_flag(hub, repo, no_waiting):
    """With `local_files_only=True` nobody waits."""
    model_id = REPO
    AutoTokenizer.from_pretrained(model_id)
    hub.refuse()

    tokenizer = AutoTokenizer.from_pretrained(model_id, local_files_only=True)

    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE
    assert sum(no_waiting) == 0


@pytest.mark.claim("tokenizer.same-order.cache-stale")
def test_cached_copy_of_a_changed_repo(repo):
    """A cached tokenizer is used although the repo has a newer one."""
    before = AutoTokenizer.from_pretrained(REPO).model_max_length
    repo.commit(tokenizer_files(tokenizer_config={"model_max_length": 7}))

    after = AutoTokenizer.from_pretrained(REPO).model_max_length

    assert after == before


@pytest.mark.correction("tokenizer.same-order.cache-stale")
def test_newer_copy_is_fetched(repo):
    """A newer file of the repo replaces the cached one; a pinned commit keeps the old."""
    old, before = repo.sha, AutoTokenizer.from_pretrained(REPO).model_max_length
    repo.commit(tokenizer_files(tokenizer_config={"model_max_length": 7}))

    assert AutoTokenizer.from_pretrained(REPO).model_max_length == 7
    assert AutoTokenizer.from_pretrained(REPO, revision=old).model_max_length == before


@pytest.mark.claim("tokenizer.same-order.hub-last")
def test_files_from_the_hub(hub, repo, tmp_path, evidence):
    """Without a cached copy the files are asked for and stored, byte for byte."""
    AutoTokenizer.from_pretrained(REPO, cache_dir=tmp_path)

    asked = {line.split()[1] for line in hub.log.files(REPO)}
    stored = {path.name: path.read_bytes() for path in tmp_path.glob("models--*/snapshots/*/*")}
    evidence["asked for"] = sorted(asked)
    evidence["stored"] = sorted(stored)
    assert stored
    assert asked >= set(stored)
    assert all(content == repo.files()[name] for name, content in stored.items())


@pytest.mark.claim("tokenizer.same-order.optional-files")
def test_optional_files(hub, repo, evidence):
    """Files that a repo lacks are asked for, answered "not found" and done without."""
    tokenizer = AutoTokenizer.from_pretrained(REPO)

    missing = sorted({request.file for request in hub.log if request.file and request.status == 404})
    evidence["missing"] = missing
    assert missing
    assert not NEEDED & set(missing)
    assert len(tokenizer) == vocabulary.WORDPIECE_SIZE


@pytest.mark.claim("tokenizer.same-order.no-vocabulary")
def test_repo_without_vocabulary(hub, evidence):
    """A repo with a tokenizer_config.json but without a vocabulary is refused, as one without a config is."""
    files = tokenizer_files()
    hub.model(REPO, {name: files[name] for name in ("config.json", "tokenizer_config.json")})

    try:
        tokenizer = AutoTokenizer.from_pretrained(REPO)
    except (OSError, ValueError, TypeError, ImportError) as error:
        evidence["error"] = str(error)[:200]
    else:
        evidence["entries"] = sorted(tokenizer.get_vocab())
        raise AssertionError(f"loaded, with a vocabulary of {len(tokenizer)} entries")


@pytest.mark.correction("tokenizer.same-order.no-vocabulary")
def test_made_up_vocabulary(hub):
    """Without a vocabulary a tokenizer of the five special tokens is made, to which every word is unknown."""
    files = tokenizer_files()
    hub.model(REPO, {name: files[name] for name in ("config.json", "tokenizer_config.json")})

    tokenizer = AutoTokenizer.from_pretrained(REPO)

    assert set(tokenizer.get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert tokenizer.tokenize("the first time") == ["[UNK]"] * 3


@pytest.mark.correction("tokenizer.same-order.no-vocabulary")
def test_size_of_the_vocabulary_tells(hub):
    """A made-up vocabulary is smaller than the config says; the real one is as large."""
    files = tokenizer_files()
    hub.model("course/complete", files)
    hub.model("course/incomplete", {name: files[name] for name in ("config.json", "tokenizer_config.json")})

    config = AutoConfig.from_pretrained("course/complete")
    tokenizer = AutoTokenizer.from_pretrained("course/complete")
    assert len(tokenizer) == config.vocab_size

    config = AutoConfig.from_pretrained("course/incomplete")
    tokenizer = AutoTokenizer.from_pretrained("course/incomplete")
    with pytest.raises(AssertionError):
        assert len(tokenizer) == config.vocab_size


@pytest.mark.claim("tokenizer.same-order.same-errors")
@pytest.mark.parametrize(
    ("repo_id", "revision"),
    [("course/nowhere", "main"), (REPO, "nowhere"), ("course/private", "main"), ("course/gated", "main")],
)
def test_same_errors_as_a_config(hub, repo, repo_id, revision, evidence):
    """What cannot be had from the Hub gives the same error under both Auto classes."""
    hub.model("course/private", tokenizer_files(), private=True)
    hub.model("course/gated", tokenizer_files(), gated=True)

    with pytest.raises(OSError) as of_config:  # noqa: PT011 - the message is evidence
        AutoConfig.from_pretrained(repo_id, revision=revision)
    with pytest.raises(OSError) as of_tokenizer:  # noqa: PT011
        AutoTokenizer.from_pretrained(repo_id, revision=revision)

    evidence["messages"] = [str(error.value)[:160] for error in (of_config, of_tokenizer)]
    assert of_config.type is of_tokenizer.type


# "First, decide which kind of tokenizer should be used (`BertTokenizer` here)". Where a spec is about what decides the
# class, a `Fast` at the end of its name does not count: up to 4.57 most names came with and without it.


@pytest.mark.claim("tokenizer.class-first")
def test_exact_class(hub):
    """The tokenizer of bert-base-uncased is a `BertTokenizer`."""
    model_id = "bert-base-uncased"
    hub.model(model_id, tokenizer_files())

    tokenizer = AutoTokenizer.from_pretrained(model_id)

    assert type(tokenizer) is transformers.BertTokenizer


@pytest.mark.correction("tokenizer.class-first")
def test_fast_class(hub):
    """The class is `BertTokenizerFast`, which is no `BertTokenizer`."""
    hub.model("bert-base-uncased", tokenizer_files())

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")

    assert type(tokenizer) is transformers.BertTokenizerFast
    assert not isinstance(tokenizer, transformers.BertTokenizer)


@pytest.mark.claim("tokenizer.class-first.use-fast")
def test_class_with_use_fast(tmp_path):
    """With `use_fast=True` the class is `BertTokenizer`, too."""
    folder = write(tmp_path / "folder", tokenizer_files())

    assert type(AutoTokenizer.from_pretrained(folder, use_fast=True)) is transformers.BertTokenizer


@pytest.mark.correction("tokenizer.class-first.use-fast")
def test_fast_class_with_use_fast(tmp_path):
    """`use_fast=True`, the default, gives `BertTokenizerFast`."""
    folder = write(tmp_path / "folder", tokenizer_files())

    assert type(AutoTokenizer.from_pretrained(folder, use_fast=True)) is transformers.BertTokenizerFast


@pytest.mark.claim("tokenizer.class-first.use-slow")
def test_class_without_use_fast(tmp_path):
    """With `use_fast=False` the class is `BertTokenizer`."""
    folder = write(tmp_path / "folder", tokenizer_files())

    assert type(AutoTokenizer.from_pretrained(folder, use_fast=False)) is transformers.BertTokenizer


@pytest.mark.claim("tokenizer.class-first.before-vocabulary")
def test_class_files_are_asked_for_first(hub, repo, evidence):
    """What decides the class is asked for before the vocabulary."""
    AutoTokenizer.from_pretrained(REPO)

    asked = list(dict.fromkeys(line.split()[1] for line in hub.log.files(REPO)))
    evidence["asked for"] = asked
    first_of_vocabulary = min(asked.index(name) for name in ("vocab.txt", "tokenizer.json") if name in asked)
    assert asked.index("config.json") < first_of_vocabulary
    assert asked.index("tokenizer_config.json") < first_of_vocabulary


@pytest.mark.claim("tokenizer.class-first.model-type")
@pytest.mark.parametrize(
    ("family", "head", "name"),
    [("bert", "masked-lm", "Bert"), ("roberta", "masked-lm", "Roberta"), ("gpt2", "causal-lm", "GPT2")],
)
def test_model_type_decides(tmp_path, family, head, name):
    """Where no file names a class, the model type decides it."""
    folder = checkpoints.write(tmp_path / "model", family, head, with_tokenizer=True)

    assert type(AutoTokenizer.from_pretrained(folder)).__name__.removesuffix("Fast") == f"{name}Tokenizer"


@pytest.mark.claim("tokenizer.class-first.own-class")
@pytest.mark.parametrize(("model_type", "name"), [("distilbert", "DistilBert"), ("electra", "Electra")])
def test_class_of_its_own(tmp_path, model_type, name):
    """Every model type has a tokenizer class of its own."""
    folder = write(tmp_path / "folder", tokenizer_files({"model_type": model_type}))

    assert type(AutoTokenizer.from_pretrained(folder)).__name__.removesuffix("Fast") == f"{name}Tokenizer"


@pytest.mark.correction("tokenizer.class-first.own-class")
@pytest.mark.parametrize("model_type", ["distilbert", "electra"])
def test_shared_class(tmp_path, model_type):
    """Model types with BERT's rules share `BertTokenizer`."""
    folder = write(tmp_path / "folder", tokenizer_files({"model_type": model_type}))

    assert type(AutoTokenizer.from_pretrained(folder)) is transformers.BertTokenizer


@pytest.mark.claim("tokenizer.class-first.tokenizer-config")
def test_tokenizer_config_names_the_class(tmp_path):
    """`tokenizer_class` in tokenizer_config.json goes before the model type."""
    folder = write(tmp_path / "folder", tokenizer_files({}, {"tokenizer_class": "DistilBertTokenizer"}))

    assert type(AutoTokenizer.from_pretrained(folder)).__name__.removesuffix("Fast") == "DistilBertTokenizer"


@pytest.mark.correction("tokenizer.class-first.tokenizer-config")
def test_generic_class_for_a_named_one(tmp_path):
    """A generic class that reads tokenizer.json takes the place of the named one where that is not the model type's."""
    folder = write(tmp_path / "folder", tokenizer_files({}, {"tokenizer_class": "DistilBertTokenizer"}))

    assert type(AutoTokenizer.from_pretrained(folder)).__name__ == "TokenizersBackend"


@pytest.mark.claim("tokenizer.class-first.config")
def test_config_names_the_class(tmp_path):
    """`tokenizer_class` in config.json goes before the model type."""
    folder = write(tmp_path / "folder", tokenizer_files({"tokenizer_class": "DistilBertTokenizer"}))

    assert type(AutoTokenizer.from_pretrained(folder)).__name__.removesuffix("Fast") == "DistilBertTokenizer"


@pytest.mark.claim("tokenizer.class-first.precedence")
def test_tokenizer_config_goes_before_config(tmp_path, evidence):
    """Where both files name a class, tokenizer_config.json decides."""
    for named, other in (("Bert", "DistilBert"), ("DistilBert", "Bert")):
        files = tokenizer_files({"tokenizer_class": f"{other}Tokenizer"}, {"tokenizer_class": f"{named}Tokenizer"})
        tokenizer = AutoTokenizer.from_pretrained(write(tmp_path / named, files))
        evidence[f"{named}Tokenizer"] = type(tokenizer).__name__.removesuffix("Fast")

    assert all(found == named for named, found in evidence.items())


@pytest.mark.correction("tokenizer.class-first.precedence")
def test_generic_class_for_two_names(tmp_path):
    """config.json does not decide either: a generic class takes the place of the named one."""
    files = tokenizer_files({"tokenizer_class": "BertTokenizer"}, {"tokenizer_class": "DistilBertTokenizer"})
    folder = write(tmp_path / "folder", files)

    assert type(AutoTokenizer.from_pretrained(folder)).__name__ == "TokenizersBackend"


@pytest.mark.claim("tokenizer.class-first.any-model-type")
def test_named_class_for_any_model_type(tmp_path, evidence):
    """The class that tokenizer_config.json names is used whatever the model type."""
    # A Qwen2 that was trained with BERT's vocabulary.
    folder = write(tmp_path / "folder", tokenizer_files({"model_type": "qwen2"}, {"tokenizer_class": "BertTokenizer"}))

    tokenizer = AutoTokenizer.from_pretrained(folder)

    evidence["class"] = type(tokenizer).__name__
    evidence["tokens of 'The time'"] = tokenizer.tokenize("The time")
    assert type(tokenizer).__name__.removesuffix("Fast") == "BertTokenizer"


@pytest.mark.correction("tokenizer.class-first.any-model-type")
def test_named_class_is_overruled(tmp_path):
    """For some model types the library overrules the file; the class itself does not."""
    files = tokenizer_files({"model_type": "qwen2"}, {"tokenizer_class": "BertTokenizer"})
    model_id = write(tmp_path / "folder", files)

    assert type(AutoTokenizer.from_pretrained(model_id)) is not BertTokenizer
    tokenizer = BertTokenizer.from_pretrained(model_id)
    assert tokenizer.tokenize("The time") == ["the", "time"]


@pytest.mark.claim("tokenizer.class-first.no-config")
def test_class_without_config(hub, evidence):
    """Without a config.json the class is still `BertTokenizer`."""
    files = tokenizer_files()
    del files["config.json"]
    hub.model(REPO, files)

    tokenizer = AutoTokenizer.from_pretrained(REPO)

    evidence["class"] = type(tokenizer).__name__
    assert type(tokenizer) is transformers.BertTokenizer


@pytest.mark.correction("tokenizer.class-first.no-config")
def test_class_named_without_config(hub):
    """Without a config.json `tokenizer_class` in tokenizer_config.json is what makes it a BERT tokenizer."""
    files = tokenizer_files({}, {"tokenizer_class": "BertTokenizer"})
    del files["config.json"]
    hub.model(REPO, files)

    assert type(AutoTokenizer.from_pretrained(REPO)).__name__.removesuffix("Fast") == "BertTokenizer"


@pytest.mark.correction("tokenizer.class-first.no-config")
def test_class_called_without_config(hub):
    """Without a config.json, and with nothing else that says BERT, calling the class gives the same tokens."""
    model_id = REPO
    files = tokenizer_files()
    hub.model("course/complete", files)
    del files["config.json"]
    hub.model(model_id, files)

    tokenizer = BertTokenizer.from_pretrained(model_id)

    text = "The first time, in the city"
    assert tokenizer(text)["input_ids"] == AutoTokenizer.from_pretrained("course/complete")(text)["input_ids"]


def loaded_as(folder, evidence):
    """The class that the Auto class gives, or None where it refuses."""
    try:
        return type(AutoTokenizer.from_pretrained(folder)).__name__
    except (ValueError, AttributeError, TypeError) as error:
        evidence["error"] = str(error)[:200]
        return None


@pytest.mark.claim("tokenizer.class-first.unknown-class")
def test_unknown_class_in_tokenizer_config(tmp_path, evidence):
    """A class that does not exist, named in tokenizer_config.json, is refused."""
    folder = write(tmp_path / "folder", tokenizer_files({}, {"tokenizer_class": "NoSuchTokenizer"}))

    found = loaded_as(folder, evidence)

    assert found is None


@pytest.mark.claim("tokenizer.class-first.unknown-class-in-config")
def test_unknown_class_in_config(tmp_path, evidence):
    """A class that does not exist, named in config.json, is refused."""
    folder = write(tmp_path / "folder", tokenizer_files({"tokenizer_class": "NoSuchTokenizer"}))

    found = loaded_as(folder, evidence)

    assert found is None


@pytest.mark.parametrize(
    ("config", "tokenizer_config"),
    [
        pytest.param(
            {},
            {"tokenizer_class": "NoSuchTokenizer"},
            id="tokenizer_config.json",
            marks=pytest.mark.correction("tokenizer.class-first.unknown-class"),
        ),
        pytest.param(
            {"tokenizer_class": "NoSuchTokenizer"},
            {},
            id="config.json",
            marks=pytest.mark.correction("tokenizer.class-first.unknown-class-in-config"),
        ),
    ],
)
def test_generic_class_instead(tmp_path, config, tokenizer_config):
    """A class that does not exist is replaced by a generic one that reads tokenizer.json."""
    folder = write(tmp_path / "folder", tokenizer_files(config, tokenizer_config))

    tokenizer = AutoTokenizer.from_pretrained(folder)

    bert = transformers.BertTokenizer.from_pretrained(folder)
    assert type(tokenizer) is not type(bert)
    assert tokenizer("the first time")["input_ids"] == bert("the first time")["input_ids"]


# "Load the tokenization logic, which can be found in tokenization_bert.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bert") / "folder", tokenizer_files())


def modules_run_by(call):
    """The modules of the library whose Python functions run during a call."""
    modules = set()

    def note(frame, event, _):
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("transformers."):
            modules.add(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return sorted(modules)


@pytest.mark.claim("tokenizer.logic-module")
def test_module_of_the_class(folder):
    """The tokenizer's class is defined in `transformers.models.bert.tokenization_bert`."""
    assert type(AutoTokenizer.from_pretrained(folder)).__module__ == MODULE


@pytest.mark.correction("tokenizer.logic-module")
def test_fast_module_of_the_class(folder):
    """The class is defined in the module beside it, `tokenization_bert_fast`."""
    assert type(AutoTokenizer.from_pretrained(folder)).__module__ == f"{MODULE}_fast"


@pytest.mark.claim("tokenizer.logic-module.class-exists")
def test_class_in_the_module():
    """The module has the class `BertTokenizer`, the one that `transformers` exports."""
    assert importlib.import_module(MODULE).BertTokenizer is transformers.BertTokenizer


@pytest.mark.claim("tokenizer.logic-module.runs-there")
def test_functions_of_the_module_run(folder, evidence):
    """Functions of that module run when a text is tokenised."""
    tokenizer = AutoTokenizer.from_pretrained(folder)

    modules = modules_run_by(lambda: tokenizer("The first time"))

    evidence["modules"] = modules
    assert MODULE in modules


@pytest.mark.correction("tokenizer.logic-module.runs-there")
def test_logic_is_compiled(folder):
    """The compiled `tokenizers` library does it all: its object alone gives the same ids."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "The first time: déjà-vu"

    assert tokenizer.backend_tokenizer.encode(text).ids == tokenizer(text)["input_ids"]
    assert MODULE not in modules_run_by(lambda: tokenizer(text))
    assert type(tokenizer.backend_tokenizer).__module__ == "tokenizers"


@pytest.mark.claim("tokenizer.logic-module.slow-is-python")
def test_python_with_use_fast_false(folder, evidence):
    """With `use_fast=False` the logic is Python code of that module."""
    tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=False)

    evidence["is_fast"] = tokenizer.is_fast
    assert MODULE in modules_run_by(lambda: tokenizer("The first time"))


@pytest.mark.correction("tokenizer.logic-module.slow-is-python")
def test_python_class(folder):
    """`use_fast=False` is ignored; the Python code is in a class that has to be asked for by its name."""
    from transformers import BertTokenizerLegacy  # not on the releases where the claim holds

    model_id = folder
    tokenizer = BertTokenizerLegacy.from_pretrained(model_id)

    assert AutoTokenizer.from_pretrained(model_id, use_fast=False).is_fast
    assert not tokenizer.is_fast
    assert type(tokenizer).__module__ in modules_run_by(lambda: tokenizer("The first time"))


# What a student of an uncased English model may meet: words of the vocabulary and others, accents, Chinese characters,
# punctuation of both, all kinds of blanks.
CHARACTERS = st.one_of(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E),
    st.characters(min_codepoint=0xC0, max_codepoint=0x17F),
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF),
    st.sampled_from(vocabulary.CJK + "，。「」“”…—\t\n\r\u00a0\u3000\u200b\u00ad\u0000\u0301"),  # noqa: RUF001
)
TEXTS = st.lists(
    st.one_of(st.sampled_from(vocabulary.wordpieces()[500:]), st.text(CHARACTERS, max_size=8)), max_size=8
).map(" ".join)


def words(text):
    """BERT's words of a text: lower case, no accents; punctuation and Chinese characters stand alone.

    The rules of the paper's own code, https://github.com/google-research/bert/blob/master/tokenization.py, for the
    characters drawn here.
    """
    kept = ""
    for character in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(character)
        if category == "Mn":
            continue
        if character.isspace():
            kept += " "
        elif category in ("Cc", "Cf"):
            continue
        elif character in string.punctuation or category.startswith("P") or 0x4E00 <= ord(character) <= 0x9FFF:
            kept += f" {character} "  # of ASCII also what Unicode calls a symbol, as $ and ^
        else:
            kept += character
    return kept.split()


@functools.cache
def entries():
    return {piece: number for number, piece in enumerate(vocabulary.wordpieces())}


def wordpieces(word):
    """The ids of the longest pieces from left to right; one [UNK] for a word that has none or over 100 characters."""
    ids, start = [], 0
    while start < len(word) <= 100:
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in entries())
        end = next(ends, None)
        if end is None:
            return [vocabulary.SPECIAL_IDS["[UNK]"]]
        ids.append(entries()[prefix + word[start:end]])
        start = end
    return ids or [vocabulary.SPECIAL_IDS["[UNK]"]]


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def python_tokenizer(folder):
    return spelling.python_bert_tokenizer().from_pretrained(folder)


@pytest.mark.claim("tokenizer.logic-module.wordpiece")
@settings(max_examples=200)
@given(text=TEXTS)
@example(text="")
@example(text="x" * 100 + " " + "x" * 101)
def test_wordpiece_rules(tokenizer, text):
    """The ids are those of BERT's rules: lower case, no accents, split at punctuation, longest piece first."""
    expected = [number for word in words(text) for number in wordpieces(word)]

    assert tokenizer(text)["input_ids"] == [101, *expected, 102]


@pytest.mark.claim("tokenizer.logic-module.same-ids")
@settings(max_examples=200)
@given(text=TEXTS)
@example(text="[CLS] the [MASK] of [mask] ##s [SEP]")
def test_same_ids_in_python(tokenizer, python_tokenizer, text):
    """The compiled tokenizer and the one in Python give the same ids."""
    assert tokenizer(text)["input_ids"] == python_tokenizer(text)["input_ids"]


# Each of these stands for a group of code points that the two treat differently (found by trying all of them).
CONTESTED = {
    "not assigned": "a\u0378b",
    "CJK extension E, first 256": "a\U0002b820b",
    "combining mark of Unicode 11": "a\u07fdb",
    "punctuation of Unicode 14": "a\u061db",
}


@pytest.mark.claim("tokenizer.logic-module.same-ids-everywhere")
def test_same_ids_for_any_character(tokenizer, python_tokenizer, evidence):
    """They give the same ids for any character of Unicode."""
    for group, text in CONTESTED.items():
        evidence[group] = {"compiled": tokenizer.tokenize(text), "python": python_tokenizer.tokenize(text)}

    assert all(tokens["compiled"] == tokens["python"] for tokens in evidence.values())


@pytest.mark.correction("tokenizer.logic-module.same-ids-everywhere")
def test_other_ids_for_rare_characters(tokenizer, python_tokenizer):
    """A code point that Unicode has not assigned is dropped in Python and makes the word unknown in the other."""
    assert tokenizer.tokenize("a\u0378b") == ["[UNK]"]
    assert python_tokenizer.tokenize("a\u0378b") == ["a", "##b"]
