"""The local Hub, driven by the real client libraries and, where they hide it, by plain HTTP."""

import http.client
import json
from urllib.parse import urlsplit

import huggingface_hub
import pytest
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.utils import (
    EntryNotFoundError,
)

CONFIG = json.dumps(
    {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 120,
    }
)
WEIGHTS = bytes(range(256)) * 20  # 5120 bytes; kept in LFS because of the file's name
ENTRY = "config.json"


def request(hub, method, path, headers=None, body=None):
    """One plain request; returns status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def read(path):
    with open(path, "rb") as file:
        return file.read()


# Downloads


def test_download_gives_the_same_bytes(hub):
    """A downloaded file has the repository's bytes, small or LFS."""
    hub.model("tiny/one", {ENTRY: CONFIG, "model.safetensors": WEIGHTS})

    assert read(hf_hub_download("tiny/one", ENTRY)) == CONFIG.encode()
    assert read(hf_hub_download("tiny/one", "model.safetensors")) == WEIGHTS
    assert hub.log.files("tiny/one") == [
        "HEAD config.json",
        "GET config.json",
        "HEAD model.safetensors",
        "GET model.safetensors",
    ]
    assert hub.log.file_bytes == len(CONFIG) + len(WEIGHTS)


def test_second_download_asks_but_gets_no_content(hub):
    """With a cached copy the client sends one HEAD, because the ETag is unchanged."""
    hub.model("tiny/one", {ENTRY: CONFIG})
    hf_hub_download("tiny/one", ENTRY)
    hub.log.clear()

    hf_hub_download("tiny/one", ENTRY)

    assert hub.log.files("tiny/one") == ["HEAD config.json"]


def test_snapshot_of_each_kind(hub):
    """A snapshot of a model, a dataset or a Space holds its files, in their folders."""
    files = {"README.md": "# one", "data/train/a b.txt": "text"}
    hub.model("tiny/one", files)
    hub.dataset("tiny/one", files)
    hub.space("tiny/one", files)

    for kind in ("model", "dataset", "space"):
        folder = snapshot_download("tiny/one", repo_type=kind)
        assert read(folder + "/data/train/a b.txt") == b"text"
        assert "GET data/train/a b.txt" in hub.log.files("tiny/one", kind)


def test_snapshot_with_patterns(hub):
    """Patterns of a snapshot keep the other files from being asked for."""
    hub.model("tiny/one", {ENTRY: CONFIG, "model.safetensors": WEIGHTS})

    snapshot_download("tiny/one", allow_patterns=["*.json"])

    assert all(line.endswith(" config.json") for line in hub.log.files("tiny/one"))


def test_revisions(hub):
    """A branch, a tag and a commit hash each give the content of their commit."""
    repo = hub.model("tiny/one", {"a.txt": "old", "gone.txt": "x"})
    repo.tag("v1.0")
    repo.branch("next")
    new = repo.commit({"a.txt": "new", "gone.txt": None})

    assert repo.commits[0] == new
    assert len(repo.commits) == 2
    for revision, content in (("main", b"new"), ("v1.0", b"old"), ("next", b"old"), (repo.commits[1], b"old")):
        assert read(hf_hub_download("tiny/one", "a.txt", revision=revision)) == content
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("tiny/one", "gone.txt")


def test_commit_hash_depends_on_content_and_parent(hub):
    """The same commits give the same hashes, other content other ones."""
    hashes = []
    for content in ("x", "x", "y"):
        hub.reset()
        repo = hub.model("tiny/one", {"a.txt": "start"})
        hashes.append(repo.commit({"a.txt": content}))

    assert hashes[0] == hashes[1] != hashes[2]
    assert all(len(sha) == 40 for sha in hashes)


def test_model_without_namespace(hub):
    """An id may have no namespace."""
    hub.model("one", {ENTRY: CONFIG})

    assert read(hf_hub_download("one", ENTRY)) == CONFIG.encode()
    assert huggingface_hub.model_info("one").id == "one"


def test_model_from_the_hub(hub):
    """The Auto classes read a configuration from the Hub."""
    from transformers import AutoConfig

    hub.model("tiny/one", {ENTRY: CONFIG})

    assert AutoConfig.from_pretrained("tiny/one").hidden_size == 32
    assert "GET config.json" in hub.log.files("tiny/one")


def test_text_dataset_from_the_hub(hub):
    """`load_dataset` reads a text dataset whose card names its files."""
    from datasets import load_dataset

    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: some/*.txt\n---\n"
    hub.dataset("tiny/lines", {"README.md": card, "some/a.txt": "one\ntwo\n", "other.txt": "three\n"})

    assert load_dataset("tiny/lines", split="train")["text"][:] == ["one", "two"]
    assert hub.escapes == []


def test_parquet_dataset_from_the_hub(hub, tmp_path):
    """`load_dataset` reads a parquet dataset, kept in LFS, of two configurations."""
    from datasets import Dataset, load_dataset

    files = {}
    for name in ("first", "second"):
        Dataset.from_dict({"text": [name, "end"]}).to_parquet(tmp_path / "data.parquet")
        files[f"{name}/train.parquet"] = read(tmp_path / "data.parquet")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("first", "second"))
    hub.dataset("tiny/tables", {"README.md": f"---\nconfigs:\n{configs}---\n", **files})

    assert load_dataset("tiny/tables", "second", split="train")["text"][:] == ["second", "end"]
    assert "GET first/train.parquet" not in hub.log.files("tiny/tables")
