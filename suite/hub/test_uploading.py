"""Slide 4: models and datasets are uploaded with library functions."""

import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import (
    create_repo,
    delete_file,
    delete_repo,
    hf_hub_download,
    snapshot_download,
    upload_file,
    upload_folder,
)
from huggingface_hub.utils import EntryNotFoundError, HfHubHTTPError
from transformers import AutoModelForMaskedLM, AutoTokenizer

from fixtures import checkpoints

WEIGHTS = bytes(range(256)) * 20

# Calls that change the Hub, as students would type them.
CHANGES = {
    "create_repo": lambda: create_repo("tiny/two"),
    "upload_file": lambda: upload_file(path_or_fileobj=b"x", path_in_repo="new.txt", repo_id="tiny/one"),
    "upload weights": lambda: upload_file(path_or_fileobj=b"x", path_in_repo="new.safetensors", repo_id="tiny/one"),
    "push_to_hub": lambda: Dataset.from_dict({"text": ["one"]}).push_to_hub("tiny/two"),
    "delete_file": lambda: delete_file("config.json", "tiny/one"),
    "delete_repo": lambda: delete_repo("tiny/one"),
}


@pytest.fixture
def student(hub, monkeypatch):
    """A user who is logged in and may write."""
    # Every release reads a token from this variable.
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_student", user="student", write=True))


def state(hub):
    """All repositories with their commits and files."""
    return {key: (repo.commits, repo.files()) for key, repo in hub.store.repos.items()}


# What is uploaded comes back


@pytest.mark.claim("hub.upload")
@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("name", ["notes.txt", "data/a b é.json", "model.safetensors"])
def test_an_uploaded_file_comes_back(hub, kind, name):
    """A file that was uploaded to a model or a dataset is downloaded with the same bytes."""
    # Slide 4 says that models and datasets can be uploaded, with library functions.
    create_repo("student/one", repo_type=kind)

    upload_file(path_or_fileobj=WEIGHTS, path_in_repo=name, repo_id="student/one", repo_type=kind)

    assert Path(hf_hub_download("student/one", name, repo_type=kind)).read_bytes() == WEIGHTS


@pytest.mark.claim("hub.upload.folder")
@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_an_uploaded_folder_comes_back(hub, tmp_path, kind):
    """All files of a folder are uploaded in one commit, in their subfolders, and come back with the same bytes."""
    files = {"a.txt": b"a\r\n", "empty.txt": b"", "sub/deep/b é.bin": WEIGHTS, "model.safetensors": WEIGHTS[::-1]}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    create_repo("student/one", repo_type=kind)

    upload_folder(folder_path=str(tmp_path), repo_id="student/one", repo_type=kind)

    folder = Path(snapshot_download("student/one", repo_type=kind))
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert len(hub.repo(kind, "student/one").commits) == 2


@pytest.mark.claim("hub.upload.model")
@pytest.mark.usefixtures("student", "hub")
def test_a_pushed_model_comes_back(tmp_path):
    """A model that was pushed is loaded again with the same class and the same tensors."""
    model = AutoModelForMaskedLM.from_pretrained(checkpoints.write(tmp_path, weights="bin"))

    model.push_to_hub("student/one")

    again = AutoModelForMaskedLM.from_pretrained("student/one")
    assert type(again) is type(model)
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.claim("hub.upload.tokenizer")
@pytest.mark.usefixtures("student", "hub")
def test_a_pushed_tokenizer_comes_back(tmp_path):
    """A tokenizer that was pushed is loaded again with the same vocabulary and gives the same ids."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoints.write(tmp_path, weights="bin", with_tokenizer=True))

    tokenizer.push_to_hub("student/one")

    again = AutoTokenizer.from_pretrained("student/one")
    text = "The [MASK] of Zanzibar, 1984: 大家 résumé ##ing"
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert type(again) is type(tokenizer)


@pytest.mark.claim("hub.upload.dataset")
@pytest.mark.usefixtures("student", "hub")
def test_a_pushed_dataset_comes_back(tmp_path):
    """A dataset that was pushed is loaded again with the same splits, columns and rows."""
    rows = {
        "text": ["", "línea\n\ttwo", None],
        "ids": [[], [101, 102], [2**31 - 1]],
        "score": [0.1, -math.inf, 5e-324],
        "raw": [b"", b"\x00\xff", None],
    }
    data = DatasetDict({"train": Dataset.from_dict(rows), "test": Dataset.from_dict(rows).select([1])})

    data.push_to_hub("student/rows")

    again = load_dataset("student/rows")
    assert {split: table.to_dict() for split, table in again.items()} == {
        split: table.to_dict() for split, table in data.items()
    }
    assert again["train"].features == data["train"].features


# Who may


@pytest.mark.claim("hub.upload.no-token")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_without_a_token_nothing_changes(hub, change, evidence):
    """Who is not logged in is refused, and nothing changes."""
    refused(hub, change, evidence)


@pytest.mark.claim("hub.upload.wrong-token")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_with_a_wrong_token_nothing_changes(hub, change, evidence, monkeypatch):
    """A token that the Hub does not know is refused, and nothing changes."""
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_wrong")
    refused(hub, change, evidence)


@pytest.mark.claim("hub.upload.read-token")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_with_a_token_to_read_nothing_changes(hub, change, evidence, monkeypatch):
    """A token that may only read is refused, even the owner's, and nothing changes."""
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_reader", user="tiny"))
    refused(hub, change, evidence)


@pytest.mark.claim("hub.upload.not-ones-own")
@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nobody_changes_what_is_not_theirs(hub, change, evidence):
    """Another user's token to write is refused, and nothing changes."""
    refused(hub, change, evidence)


def refused(hub, change, evidence):
    hub.model("tiny/one", {"config.json": "{}", "model.safetensors": WEIGHTS})
    before = state(hub)

    # What the Hub answered (an OSError in every era of the client), or that there is no token to send.
    with pytest.raises((OSError, ValueError)) as caught:
        change()

    evidence["error"] = type(caught.value).__qualname__
    evidence["status"] = getattr(getattr(caught.value, "response", None), "status_code", None)
    assert state(hub) == before
    assert not hub.store.objects


@pytest.mark.claim("hub.upload.organization")
def test_members_upload_to_their_organization(hub, monkeypatch):
    """A member with a token to write uploads to the organization's repositories, and creates new ones."""
    hub.model("tiny/one", {"config.json": "{}"})
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_student", user="student", orgs=("tiny",), write=True))

    CHANGES["create_repo"]()
    CHANGES["upload_file"]()

    assert hub.repo("model", "tiny/one").files()["new.txt"] == b"x"
    assert ("model", "tiny/two") in hub.store.repos


# What a change does to the rest


@pytest.mark.claim("hub.upload.all-or-nothing")
@pytest.mark.usefixtures("student")
def test_an_upload_that_fails_changes_nothing(hub, tmp_path):
    """An upload that fails at its end leaves the repository as it was; done again, it is complete, in one commit."""
    repo = hub.model("student/one", {"config.json": "{}"})
    before = state(hub)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    hub.fail("*/commit/main", status=500, method="POST")

    with pytest.raises(HfHubHTTPError) as failure:
        upload_folder(folder_path=str(tmp_path), repo_id="student/one")

    assert failure.value.response.status_code == 500  # the oldest clients' message does not say it
    assert state(hub) == before
    hub.faults.clear()
    upload_folder(folder_path=str(tmp_path), repo_id="student/one")
    assert repo.files() == {"config.json": b"{}", "a.txt": b"a", "model.safetensors": WEIGHTS}
    # What fails is that commit: there is no second one that could fail when half is done.
    assert len(repo.commits) == len(before["model", "student/one"][0]) + 1


@pytest.mark.claim("hub.upload.others-stay")
@pytest.mark.usefixtures("student")
def test_an_upload_keeps_the_other_files(hub):
    """An uploaded file replaces its namesake; every other file stays, and so does the former revision."""
    repo = hub.model("student/one", {"config.json": "old", "a.txt": "a"})
    old = repo.sha

    upload_file(path_or_fileobj=b"new", path_in_repo="config.json", repo_id="student/one")

    assert repo.files() == {"config.json": b"new", "a.txt": b"a"}
    assert Path(hf_hub_download("student/one", "config.json", revision=old)).read_text() == "old"


@pytest.mark.claim("hub.upload.unchanged")
@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("name", ["a.txt", "model.safetensors"])
def test_an_upload_of_the_same_makes_no_commit(hub, name):
    """An upload of what is there already makes no new commit."""
    repo = hub.model("student/one", {name: WEIGHTS})
    before = repo.commits

    upload_file(path_or_fileobj=WEIGHTS, path_in_repo=name, repo_id="student/one")

    assert repo.commits == before


@pytest.mark.correction("hub.upload.unchanged")
@pytest.mark.usefixtures("student")
def test_an_upload_of_the_same_makes_an_empty_commit(hub):
    """An upload of what is there already makes a new commit with the same files."""
    repo = hub.model("student/one", {"a.txt": "a"})

    upload_file(path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="student/one")

    assert len(repo.commits) == 2
    assert repo.files() == {"a.txt": b"a"}


@pytest.mark.claim("hub.upload.stored-once")
@pytest.mark.usefixtures("student")
def test_weights_that_are_there_are_not_sent_again(hub):
    """Weights that the repository has under another name are not sent a second time."""
    repo = hub.model("student/one", {"model.safetensors": WEIGHTS})

    upload_file(path_or_fileobj=WEIGHTS, path_in_repo="copy.safetensors", repo_id="student/one")

    assert repo.files()["copy.safetensors"] == WEIGHTS
    assert [request for request in hub.log if request.method == "PUT"] == []


@pytest.mark.claim("hub.upload.delete")
@pytest.mark.usefixtures("student")
def test_a_deleted_file_is_gone_from_the_newest_revision(hub):
    """A deleted file is no longer downloaded, also by whom it is cached for; in older revisions it remains."""
    repo = hub.model("student/one", {"config.json": "{}", "a.txt": "a"})
    old = repo.sha
    hf_hub_download("student/one", "a.txt")

    delete_file("a.txt", "student/one")

    with pytest.raises(EntryNotFoundError):
        hf_hub_download("student/one", "a.txt")
    assert repo.files() == {"config.json": b"{}"}
    assert Path(hf_hub_download("student/one", "a.txt", revision=old)).read_text() == "a"


@pytest.mark.claim("hub.upload.delete")
@pytest.mark.usefixtures("student")
def test_a_deleted_repository_is_gone(hub):
    """A deleted model is gone from the Hub; a dataset of that id is not."""
    hub.model("student/one", {"config.json": "{}"})
    hub.dataset("student/one", {"a.txt": "a"})

    delete_repo("student/one")

    assert list(hub.store.repos) == [("dataset", "student/one")]
