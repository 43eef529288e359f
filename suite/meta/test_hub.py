"""The local Hub, driven by the real client libraries and, where they hide it, by plain HTTP."""

import base64
import http.client
import json
import multiprocessing
import re
import socket
import struct
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.utils import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fixtures.hub import Hub, UnsafePath

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
    return Path(path).read_bytes()


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


def test_repository_from_a_folder(hub, tmp_path):
    """A repository can be made of a folder's files; an empty folder is a mistake."""
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match="no files"):
        hub.model("tiny/one", tmp_path)
    (tmp_path / "sub" / "a.txt").write_text("a")

    assert hub.model("tiny/one", tmp_path).files() == {"sub/a.txt": b"a"}
    with pytest.raises(ValueError, match="already"):
        hub.model("tiny/one", tmp_path)


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


# What a repository tells of itself


def test_model_info(hub):
    """`model_info` tells task, library, tags, card, files and parameters."""
    header = b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    weights = struct.pack("<Q", len(header)) + header + bytes(24)
    card = "---\nlibrary_name: transformers\npipeline_tag: fill-mask\nlicense: mit\nlanguage: [de, en]\n---\n# One\n"
    files = {"README.md": card, ENTRY: CONFIG, "model.safetensors": weights}
    repo = hub.model("tiny/one", files, downloads=7, likes=2, tags=["toy"])

    info = huggingface_hub.model_info("tiny/one", files_metadata=True)

    assert (info.id, info.sha, info.downloads, info.likes) == ("tiny/one", repo.sha, 7, 2)
    assert (info.pipeline_tag, info.library_name) == ("fill-mask", "transformers")
    assert info.tags == ["transformers", "fill-mask", "toy", "de", "en", "license:mit"]
    assert info.card_data.language == ["de", "en"]
    assert info.safetensors.total == 6
    assert {sibling.rfilename: sibling.size for sibling in info.siblings} == {
        path: len(content) for path, content in files.items()
    }


def test_dataset_and_space_info(hub):
    """`dataset_info` and `space_info` tell the card, the files, the SDK."""
    card = "---\nsize_categories: n<1K\ndataset_info:\n  splits:\n  - name: train\n    num_examples: 2\n---\n"
    hub.dataset("tiny/lines", {"README.md": card, "a.txt": "one\ntwo\n"})
    hub.space("tiny/demo", {"app.py": "print()", "README.md": "---\ntitle: Demo\n---\n"}, sdk="gradio")

    dataset = huggingface_hub.dataset_info("tiny/lines")
    space = huggingface_hub.space_info("tiny/demo")

    assert dataset.card_data.dataset_info["splits"][0]["num_examples"] == 2
    assert dataset.tags == ["size_categories:n<1K"]
    assert space.sdk == "gradio"
    assert space.card_data.title == "Demo"
    assert hub.log.file_bytes == 0


def test_broken_card(hub):
    """A card with broken YAML leaves the repository readable, without card data."""
    hub.model("tiny/one", {"README.md": "---\na: [1\n---\n"})

    assert not huggingface_hub.model_info("tiny/one").card_data


def test_trees_paths_commits_and_refs(hub):
    """Folders, paths, commits and refs are told as the client expects them."""
    api = HfApi()
    repo = hub.model("tiny/one", {"a/b/c.txt": "c", "a/d.bin": WEIGHTS, "e f.txt": "e"})
    first = repo.sha
    repo.tag("v1.0")
    repo.commit({"e f.txt": "new"}, "Change e")

    assert {entry.path for entry in api.list_repo_tree("tiny/one")} == {"a", "e f.txt"}
    below = {entry.path: entry for entry in api.list_repo_tree("tiny/one", "a", recursive=True, expand=True)}
    assert set(below) == {"a/b", "a/b/c.txt", "a/d.bin"}
    assert below["a/d.bin"].lfs.size == len(WEIGHTS)
    assert below["a/b"].last_commit.oid == first
    assert api.list_repo_files("tiny/one", revision="v1.0") == ["a/b/c.txt", "a/d.bin", "e f.txt"]
    infos = api.get_paths_info("tiny/one", ["a/b", "e f.txt", "missing"], expand=True)
    assert [(entry.path, entry.last_commit.title) for entry in infos] == [
        ("a/b", "initial commit"),
        ("e f.txt", "Change e"),
    ]
    assert [commit.commit_id for commit in api.list_repo_commits("tiny/one")] == repo.commits
    refs = api.list_repo_refs("tiny/one")
    assert [(ref.name, ref.target_commit) for ref in refs.branches + refs.tags] == [("main", repo.sha), ("v1.0", first)]


def test_listings(hub):
    """Models, datasets and Spaces are found by text, author, tag; sorted; cut off at a limit."""
    api = HfApi()
    for number, name in enumerate(("tiny/alpha", "tiny/beta", "other/Alpha-two")):
        hub.model(name, {ENTRY: CONFIG}, downloads=number, tags=["odd"] if number % 2 else [])
    hub.dataset("tiny/alpha", {"a.txt": "a"})
    hub.space("tiny/demo", {"app.py": ""})
    hub.model("tiny/alpha-hidden", {ENTRY: CONFIG}, private=True)

    def names(found):
        return [info.id for info in found]

    assert names(api.list_models(search="alpha", sort="downloads")) == ["other/Alpha-two", "tiny/alpha"]
    assert names(api.list_models(author="tiny", sort="downloads", limit=1)) == ["tiny/beta"]
    assert names(api.list_models(filter="odd")) == ["tiny/beta"]
    assert names(api.list_datasets(author="tiny")) == ["tiny/alpha"]
    assert names(api.list_spaces(search="DEMO")) == ["tiny/demo"]
    assert next(iter(api.list_models(search="beta", full=True))).siblings[0].rfilename == ENTRY


def test_listing_pages(hub):
    """A listing longer than a page links to the next one, until the last."""
    for number in range(5):
        hub.model(f"tiny/m{number}", {ENTRY: CONFIG})

    path, seen = "/api/models?limit=2&author=tiny", []
    while path:
        _, headers, body = request(hub, "GET", path)
        seen.append([model["id"] for model in json.loads(body)])
        link = re.fullmatch(r'<(.*)>; rel="next"', headers.get("Link", ""))
        path = link and link[1].removeprefix(hub.url)

    assert seen == [["tiny/m0", "tiny/m1"], ["tiny/m2", "tiny/m3"], ["tiny/m4"]]


def test_people(hub):
    """A token has an owner, an organization has members and repositories."""
    token = hub.token("hf_student", user="student", orgs=("tiny",))
    hub.model("tiny/one", {ENTRY: CONFIG})
    api = HfApi(token=token)

    assert api.whoami()["name"] == "student"
    assert [org["name"] for org in api.whoami()["orgs"]] == ["tiny"]
    assert api.get_organization_overview("tiny").num_models == 1
    assert [user.username for user in api.list_organization_members("tiny")] == ["student"]
    assert api.get_user_overview("student").username == "student"


# Refusals


def test_missing_things(hub):
    """A missing repository, revision or file each has its own error, with the commit where there is one."""
    repo = hub.model("tiny/one", {ENTRY: CONFIG})

    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("tiny/none", ENTRY)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("tiny/one", ENTRY, revision="v9")
    with pytest.raises(EntryNotFoundError) as caught:
        hf_hub_download("tiny/one", "none.json")
    assert caught.value.response.headers["X-Repo-Commit"] == repo.sha


def test_private_repository(hub):
    """A private repository is as missing to strangers, and open to its owners."""
    repo = hub.model("tiny/one", {ENTRY: CONFIG})
    repo.private = True
    owner = hub.token("hf_owner", user="owner", orgs=("tiny",))
    stranger = hub.token("hf_stranger", user="stranger")

    for token in (False, stranger):
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("tiny/one", ENTRY, token=token)
    assert hub.log.file_bytes == 0
    assert read(hf_hub_download("tiny/one", ENTRY, token=owner)) == CONFIG.encode()


def test_gated_repository(hub):
    """A gated repository shows its page to everybody and its files to those let in."""
    repo = hub.model("tiny/one", {ENTRY: CONFIG})
    repo.gated = True
    token = hub.token("hf_student", user="student")

    assert huggingface_hub.model_info("tiny/one").gated == "manual"
    for refused in (False, token):
        with pytest.raises(GatedRepoError):
            hf_hub_download("tiny/one", ENTRY, token=refused)
    repo.granted.add("student")
    assert read(hf_hub_download("tiny/one", ENTRY, token=token)) == CONFIG.encode()


def test_unknown_token(hub):
    """A token that nobody owns is refused, also for public repositories."""
    hub.model("tiny/one", {ENTRY: CONFIG})

    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(token="hf_wrong").model_info("tiny/one")
    assert caught.value.response.status_code == 401


@pytest.mark.parametrize(
    "path", ["../../x", "..%2F..%2Fx", "%2e%2e/x", "/etc/passwd", "%2Fetc%2Fpasswd", "a//b", "a\\b"]
)
def test_paths_stay_in_the_repository(hub, path):
    """A path that would leave the repository is refused, read or written."""
    repo = hub.model("tiny/one", {ENTRY: CONFIG})

    assert request(hub, "GET", f"/tiny/one/resolve/main/{path}")[0] == 400
    with pytest.raises(UnsafePath):
        repo.commit({"../x": "y"})


def test_upload_path_stays_in_the_repository(hub):
    """A commit call with a path that leaves the repository changes nothing."""
    token = hub.token("hf_student", user="student", write=True)
    repo = hub.model("student/one", {ENTRY: CONFIG})
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "file", "value": {"path": "../x", "content": "eA==", "encoding": "base64"}},
    ]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    body = "\n".join(map(json.dumps, lines))

    assert request(hub, "POST", "/api/models/student/one/commit/main", headers, body)[0] == 400
    assert len(repo.commits) == 1


def test_unknown_calls_are_logged(hub):
    """A path that the Hub does not know is answered 404 in words and stays in the log."""
    status, _, body = request(hub, "GET", "/api/nothing?a=b")

    assert status == 404
    assert "does not know" in json.loads(body)["error"]
    assert [(r.path, r.query, r.status) for r in hub.log] == [("/api/nothing", "a=b", 404)]
    assert request(hub, "PATCH", "/api/models")[0] == 405


# Uploads


def test_upload_and_download_again(hub, tmp_path):
    """Files that were uploaded come back with the same bytes, small or LFS."""
    api = HfApi(token=hub.token("hf_student", user="student", orgs=("tiny",), write=True))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b.txt").write_text("text")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)

    for kind in ("model", "dataset"):
        assert api.create_repo("tiny/up", repo_type=kind).repo_id == "tiny/up"
        api.create_repo("tiny/up", repo_type=kind, exist_ok=True)
        api.upload_folder(repo_id="tiny/up", folder_path=tmp_path, repo_type=kind)
        api.upload_file(repo_id="tiny/up", path_or_fileobj=b"x", path_in_repo="x.txt", repo_type=kind)
        files = hub.repo(kind, "tiny/up").files()
        assert files.pop(".gitattributes")
        assert files == {"sub/a b.txt": b"text", "model.safetensors": WEIGHTS, "x.txt": b"x"}
        folder = snapshot_download("tiny/up", repo_type=kind)
        assert read(folder + "/model.safetensors") == WEIGHTS


def test_changes_by_the_client(hub):
    """Delete files and folders, branch, tag, settings, delete the repository."""
    api = HfApi(token=hub.token("hf_student", user="student", write=True))
    repo = hub.model("student/one", {ENTRY: CONFIG, "sub/a.txt": "a", "b.txt": "b"})

    api.create_branch("student/one", branch="next")
    api.create_tag("student/one", tag="v1.0")
    api.delete_file("b.txt", "student/one")
    api.delete_folder("sub", "student/one")
    api.upload_file(path_or_fileobj=b"n", path_in_repo="n.txt", repo_id="student/one", revision="next")
    assert set(repo.files()) == {ENTRY}
    assert set(repo.files("next")) == {ENTRY, "sub/a.txt", "b.txt", "n.txt"}
    assert set(repo.files("v1.0")) == {ENTRY, "sub/a.txt", "b.txt"}
    with pytest.raises(HfHubHTTPError):
        api.create_branch("student/one", branch="next")
    api.delete_branch("student/one", branch="next")
    api.delete_tag("student/one", tag="v1.0")
    assert (set(repo.branches), set(repo.tagged)) == ({"main"}, set())
    api.delete_repo("student/one")
    with pytest.raises(KeyError):
        hub.repo("model", "student/one")


def test_refused_uploads_change_nothing(hub):
    """No token, a read token, another's repository or an outdated parent: refused, and nothing changed."""
    hub.token("hf_reader", user="tiny")
    hub.token("hf_stranger", user="stranger", write=True)
    hub.token("hf_writer", user="tiny", write=True)
    repo = hub.model("tiny/one", {ENTRY: CONFIG})
    first = repo.sha
    repo.commit({"a.txt": "a"})
    before = repo.commits

    for token, parent in ((False, None), ("hf_reader", None), ("hf_stranger", None), ("hf_writer", first)):
        with pytest.raises(HfHubHTTPError):
            HfApi().create_commit(
                "tiny/one",
                [CommitOperationAdd("b.bin", b"b")],
                commit_message="b",
                token=token,
                parent_commit=parent,
            )
        with pytest.raises(HfHubHTTPError):
            HfApi().create_repo("else/two", token=token)
    assert repo.commits == before


def test_wrong_lfs_content_is_refused(hub):
    """LFS content has to have the SHA-256 that it was announced with."""
    hub.model("tiny/one", {ENTRY: CONFIG})

    url = urlsplit(hub.app.storage)
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("PUT", f"/lfs/models/tiny/one/-/{'0' * 64}", body=b"wrong")
    assert connection.getresponse().status == 400
    connection.close()


def test_commit_call_of_old_clients(hub):
    """Clients before 0.17 send the token by Basic authentication, those before 0.12 a commit as one JSON object."""
    token = hub.token("hf_student", user="student", write=True)
    repo = hub.model("student/one", {ENTRY: CONFIG, "old.txt": "old"})
    basic = base64.b64encode(f"access_token:{token}".encode()).decode()
    commit = {
        "summary": "Old style",
        "files": [{"path": "a.txt", "content": "eA==", "encoding": "base64"}],
        "deletedFiles": [{"path": "old.txt"}],
    }

    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    status, _, body = request(hub, "POST", "/api/models/student/one/commit/main", headers, json.dumps(commit))

    assert (status, json.loads(body)["commitOid"]) == (200, repo.sha)
    assert repo.files() == {ENTRY: CONFIG.encode(), "a.txt": b"x"}


def test_push_to_hub(hub):
    """A model and a dataset that were pushed can be loaded again."""
    import torch
    from datasets import Dataset, load_dataset
    from transformers import BertConfig, BertForMaskedLM

    token = hub.token("hf_student", user="student", write=True)
    model = BertForMaskedLM(BertConfig(**{k: v for k, v in json.loads(CONFIG).items() if k != "architectures"}))
    model.push_to_hub("student/pushed", token=token)
    Dataset.from_dict({"text": ["one", "two"]}).push_to_hub("student/rows", token=token)

    again = BertForMaskedLM.from_pretrained("student/pushed")
    assert torch.equal(again.state_dict()["cls.predictions.bias"], model.state_dict()["cls.predictions.bias"])
    assert load_dataset("student/rows", split="train")["text"][:] == ["one", "two"]
    assert huggingface_hub.dataset_info("student/rows").card_data.dataset_info["splits"][0]["num_examples"] == 2


# The protocol


def test_file_headers(hub):
    """HEAD tells ETag, length and commit without content; LFS redirects with the linked ETag and size."""
    repo = hub.model("tiny/one", {ENTRY: "{}", "model.safetensors": WEIGHTS})

    status, headers, body = request(hub, "HEAD", f"/tiny/one/resolve/main/{ENTRY}")
    assert (status, body, headers["Content-Length"]) == (200, b"", "2")
    # The hash that `git hash-object` gives for "{}".
    assert headers["ETag"] == '"9e26dfeeb6e641a33dae4961196235bdb965b21b"'
    assert headers["X-Repo-Commit"] == repo.sha
    status, headers, _ = request(hub, "HEAD", "/tiny/one/resolve/main/model.safetensors")
    assert (status, headers["X-Linked-Size"]) == (302, str(len(WEIGHTS)))
    assert headers["X-Linked-Etag"].strip('"') in headers["Location"]
    assert request(hub, "GET", "/tiny/one/resolve/main/model.safetensors")[0] == 302
    # The GET counts where the content is sent.
    assert hub.log.files("tiny/one") == ["HEAD config.json", "HEAD model.safetensors"]
    assert "X-Xet-Hash" not in headers


def test_ranges(hub):
    """A range of a file is answered 206 with just these bytes, one beyond the end 416."""
    hub.model("tiny/one", {"a.txt": "0123456789"})
    path = "/tiny/one/resolve/main/a.txt"

    status, headers, body = request(hub, "GET", path, {"Range": "bytes=4-"})
    assert (status, body, headers["Content-Range"]) == (206, b"456789", "bytes 4-9/10")
    assert request(hub, "GET", path, {"Range": "bytes=2-3"})[2] == b"23"
    assert request(hub, "GET", path, {"Range": "bytes=10-"})[0] == 416


def test_quoted_slashes(hub):
    """`%2F` in a path or a branch's name is a slash of that name."""
    repo = hub.model("tiny/one", {"a/b.txt": "b"})
    repo.branch("feature/x")

    assert request(hub, "GET", "/tiny/one/resolve/feature%2Fx/a%2Fb.txt")[2] == b"b"
    assert read(hf_hub_download("tiny/one", "a/b.txt", revision="feature/x")) == b"b"


def test_connections_are_kept(hub):
    """Many requests pass through one connection, also after errors and uploads with a body."""
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc)
    connection.connect()
    first = connection.sock
    for method, body in (("GET", None), ("POST", b"x" * 100_000), ("HEAD", None), ("GET", None)):
        connection.request(method, "/nothing", body=body)
        connection.getresponse().read()
    assert connection.sock is first
    connection.close()


def test_proxy_requests_are_recorded_and_refused(hub):
    """A request for another host, tunnelled or not, is refused and recorded apart from the log."""
    for method, target in (("CONNECT", "example.org:443"), ("GET", "http://example.org/x")):
        with socket.create_connection(("127.0.0.1", urlsplit(hub.url).port)) as connection:
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 403 ")

    assert [(r.method, r.path) for r in hub.escapes] == [
        ("CONNECT", "example.org:443"),
        ("GET", "http://example.org/x"),
    ]
    hub.escapes.clear()  # else this test would have tried to leave
    assert len(hub.log) == 0


def test_only_loopback(hub):
    """The Hub's address is one of loopback."""
    assert hub.url.startswith("http://127.0.0.1:")
    assert hub.app.storage.startswith("http://localhost:")


# Faults


def test_fail(hub):
    """A failure strikes as often as told, with its status and headers."""
    hub.model("tiny/one", {ENTRY: CONFIG})
    hub.fail("*/config.json", status=429, times=1, retry_after=3)
    path = f"/tiny/one/resolve/main/{ENTRY}"

    status, headers, _ = request(hub, "GET", path)
    assert (status, headers["Retry-After"]) == (429, "3")
    assert request(hub, "GET", path)[0] == 200
    assert [r.status for r in hub.log] == [429, 200]
    assert hub.log.files("tiny/one") == ["GET config.json", "GET config.json"]


def test_cut(hub):
    """A cut body promises its length and ends before; a client that asks again gets all of it."""
    hub.model("tiny/one", {"model.safetensors": WEIGHTS, "a.txt": "0123456789"})
    hub.cut("*", after=4, times=1)

    with pytest.raises(http.client.IncompleteRead) as caught:
        request(hub, "GET", "/tiny/one/resolve/main/a.txt")
    assert (caught.value.partial, caught.value.expected) == (b"0123", 6)

    hub.log.clear()
    hub.cut("*.safetensors", after=1000, times=1)
    assert read(hf_hub_download("tiny/one", "model.safetensors")) == WEIGHTS
    contents = [r for r in hub.log if r.method == "GET"]
    assert contents[0].sent == 1000
    assert len(contents) == 2


def test_corrupt(hub):
    """Corrupt content has the right length, ETag, and no right byte."""
    hub.model("tiny/one", {"a.txt": "0123456789"})
    _, right, _ = request(hub, "GET", "/tiny/one/resolve/main/a.txt")
    hub.corrupt("*.txt")

    _, headers, body = request(hub, "GET", "/tiny/one/resolve/main/a.txt")

    assert headers["ETag"] == right["ETag"]
    assert len(body) == 10
    assert all(a != b for a, b in zip(body, b"0123456789", strict=True))


def test_slow(hub):
    """A slow answer comes as late as told; `settle` waits for it."""
    hub.slow("*", seconds=0.2)
    thread = threading.Thread(target=request, args=(hub, "GET", "/slow"))
    begin = time.monotonic()
    thread.start()
    time.sleep(0.1)
    assert len(hub.log) == 0
    hub.log.settle()
    assert time.monotonic() - begin >= 0.2
    assert len(hub.log) == 1
    thread.join()


def ask_again(connection):
    connection.request("GET", "/api/models")
    connection.getresponse()


@pytest.mark.parametrize("kind", [threading.Thread, multiprocessing.Process])
def test_settle_waits_for_the_conversion_check(kind):
    """`settle` joins the client's conversion thread, or process, and says so if it does not end."""
    event = threading.Event if kind is threading.Thread else multiprocessing.Event
    with Hub() as hub:
        done = event()
        task = kind(target=done.wait, args=(10,), name=f"{kind.__name__}-auto_conversion")
        task.start()
        with pytest.raises(TimeoutError, match="auto_conversion"):
            hub.log.settle(seconds=0.1)
        done.set()
        hub.log.settle()
        assert not task.is_alive()


def test_refuse(hub):
    """Refused connections are refused at the same address until accepted again, kept ones dropped."""
    hub.model("tiny/one", {ENTRY: CONFIG})
    kept = http.client.HTTPConnection(urlsplit(hub.url).netloc)
    kept.request("GET", "/api/models")
    kept.getresponse().read()

    hub.refuse()
    with pytest.raises(ConnectionRefusedError):
        request(hub, "GET", "/api/models")
    kept.auto_open = 0
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask_again(kept)
    kept.close()
    hub.accept()
    assert request(hub, "GET", "/api/models")[0] == 200


def test_failures_of_the_hub_itself_are_kept(hub, monkeypatch):
    """An exception in a handler is answered 500 and kept with its traceback."""
    monkeypatch.setattr(hub.app, "_whoami", None)

    assert request(hub, "GET", "/api/whoami-v2")[0] == 500
    assert "TypeError" in hub.errors.pop()


@pytest.mark.parametrize("size", [3_000, 9_000_000])
def test_clients_may_hang_up(hub, size):
    """A client that goes away before or in the middle of an answer is no failure of the Hub."""
    hub.model("tiny/one", {"a.txt": b"x" * size})
    hub.slow("*", seconds=0.1)
    before = set(threading.enumerate())
    connection = socket.create_connection(("127.0.0.1", urlsplit(hub.url).port))
    # Linger for no time: closing resets the connection instead of ending it.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(b"GET /tiny/one/resolve/main/a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
    while not (new := set(threading.enumerate()) - before):
        time.sleep(0.01)
    time.sleep(0.05)
    connection.close()

    for thread in new:
        thread.join(5)
    assert len(hub.log) == 1
    assert hub.errors == []


def test_many_clients_at_once(hub):
    """Requests of several threads are all answered and all logged."""
    repo = hub.model("tiny/one", {ENTRY: CONFIG})

    def work(number):
        repo.commit({f"{number}.txt": "x"})
        for _ in range(20):
            assert request(hub, "GET", f"/tiny/one/resolve/main/{ENTRY}")[0] == 200

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(hub.log.files("tiny/one")) == 100
    assert len(repo.commits) == 6


def test_reset_and_stop():
    """After a reset nothing is left; after a stop nobody answers; both are quick."""
    with Hub() as hub:
        hub.model("tiny/one", {ENTRY: CONFIG})
        hub.token("hf_student", user="student")
        hub.fail("*")
        hub.refuse()
        hub.reset()
        assert request(hub, "GET", "/api/models")[2] == b"[]"
        assert request(hub, "GET", "/api/whoami-v2", {"Authorization": "Bearer hf_student"})[0] == 401
        begin = time.monotonic()
    assert time.monotonic() - begin < 1
    with pytest.raises(ConnectionRefusedError):
        request(hub, "GET", "/api/models")
