"""Slide 4: models and datasets are downloaded with library functions."""

import contextlib
import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from datasets import load_dataset
from huggingface_hub import HfApi, hf_hub_download, list_models, snapshot_download, utils
from huggingface_hub.utils import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from transformers import AutoModelForMaskedLM

from fixtures import checkpoints

WEIGHTS = bytes(range(256)) * 20
FILES = {
    "README.md": b"# One\n",
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "data/train.json": b"[1, 2]",
    "data/old/a b é.txt": b"text\r\n",
    "empty.txt": b"",
}
# The client keeps what it received of a file in steps of 10 MiB.
STEP = 10 * 2**20
# The oldest releases come without safetensors.
FORMAT = "safetensors" if find_spec("safetensors") else "bin"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def files_below(folder):
    """Path and SHA-256 of each file, without what the client keeps for itself in a hidden folder."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes())
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def requested(hub):
    return {line.partition(" ")[2] for line in hub.log.files("tiny/one")}


@pytest.fixture
def big(hub):
    """A model whose weights take the client more than one step; what they are."""
    weights = WEIGHTS * (STEP // len(WEIGHTS) + 400)
    hub.model("tiny/one", {"model.safetensors": weights})
    return weights


# What arrives


@pytest.mark.claim("hub.download")
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_every_byte_arrives(hub, kind):
    """Each file of a model and of a dataset has the SHA-256 after the download that it has on the Hub."""
    # Slide 4 says that models and datasets can be downloaded, with library functions.
    hub.store.create(kind, "tiny/one", FILES)

    for name, content in FILES.items():
        path = hf_hub_download("tiny/one", name, repo_type=kind)
        assert sha256(Path(path).read_bytes()) == sha256(content)


@pytest.mark.claim("hub.download.model")
def test_a_model_is_downloaded_and_loaded_in_one_call(hub, tmp_path):
    """`from_pretrained` with an id of the Hub gives a model with the Hub's tensors."""
    hub.model("tiny/one", checkpoints.write(tmp_path, weights=FORMAT))

    model = AutoModelForMaskedLM.from_pretrained("tiny/one")

    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in checkpoints.state().items())


@pytest.mark.claim("hub.download.dataset")
def test_a_dataset_is_downloaded_and_loaded_in_one_call(hub):
    """`load_dataset` with an id of the Hub gives a dataset with the Hub's rows."""
    hub.dataset("tiny/one", {"train.txt": "first\nsecond é\n\n", "test.txt": "last\n"})

    data = load_dataset("tiny/one")

    assert {split: list(table["text"]) for split, table in data.items()} == {
        "train": ["first", "second é", ""],
        "test": ["last"],
    }


@pytest.mark.claim("hub.download.one-file")
@pytest.mark.parametrize("name", FILES)
def test_one_file_is_downloaded_alone(hub, name):
    """`hf_hub_download` asks for the one file and keeps its path in the repository."""
    hub.model("tiny/one", FILES)

    path = hf_hub_download("tiny/one", name)

    assert path.endswith("/" + name)
    assert requested(hub) == {name}


@pytest.mark.claim("hub.download.snapshot")
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_snapshot_is_the_whole_repository(hub, kind):
    """`snapshot_download` gives a folder with all files of the repository, and nothing else."""
    hub.store.create(kind, "tiny/one", FILES)

    folder = snapshot_download("tiny/one", repo_type=kind)

    assert files_below(folder) == {name: sha256(content) for name, content in FILES.items()}


@pytest.mark.claim("hub.download.subfolder")
def test_a_file_of_a_subfolder_is_downloaded(hub):
    """With `subfolder` the client takes the file of that folder, not its namesake at the top."""
    hub.model("tiny/one", {"config.json": "top", "sub/config.json": "middle", "sub/deep/config.json": "deep"})

    for subfolder, content in (("sub", "middle"), ("sub/deep", "deep")):
        assert Path(hf_hub_download("tiny/one", "config.json", subfolder=subfolder)).read_text() == content


@pytest.mark.claim("hub.download.subfolder")
def test_a_model_of_a_subfolder_is_loaded(hub, tmp_path):
    """With `subfolder` a model is loaded from that folder of the repository."""
    top, below = (
        checkpoints.write(tmp_path / name, weights=FORMAT, seed=seed) for seed, name in enumerate(("top", "below"))
    )
    files = checkpoints.files(top) | {f"sub/{name}": data for name, data in checkpoints.files(below).items()}
    hub.model("tiny/one", files)

    loaded = AutoModelForMaskedLM.from_pretrained("tiny/one", subfolder="sub").state_dict()

    assert all(torch.equal(loaded[name], tensor) for name, tensor in checkpoints.state(seed=1).items())


@pytest.mark.claim("hub.download.patterns")
@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({"allow_patterns": "*.json"}, {"config.json", "data/train.json"}),
        ({"allow_patterns": ["config.json", "*.md"]}, {"config.json", "README.md"}),
        ({"allow_patterns": "data/*"}, {name for name in FILES if name.startswith("data/")}),
        ({"ignore_patterns": ["*.safetensors", "data/*"]}, {"README.md", "config.json", "empty.txt"}),
        ({"allow_patterns": "data/*", "ignore_patterns": "data/old/*"}, {"data/train.json"}),
    ],
    ids=["one-pattern", "two-patterns", "folder", "ignored", "folder-less-a-part"],
)
def test_patterns_choose_the_files_of_a_snapshot(hub, patterns, expected):
    """Only the files that the patterns choose are asked for; a `*` also crosses folders."""
    hub.model("tiny/one", FILES)

    folder = snapshot_download("tiny/one", **patterns)

    assert set(files_below(folder)) == requested(hub) == expected


@pytest.mark.claim("hub.download.local-dir")
@pytest.mark.needs("huggingface_hub>=0.14")
def test_a_folder_of_ones_own_gets_real_files(hub, tmp_path):
    """With `local_dir` the files themselves lie in that folder."""
    hub.model("tiny/one", FILES)

    snapshot_download("tiny/one", local_dir=tmp_path)

    assert files_below(tmp_path) == {name: sha256(content) for name, content in FILES.items()}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.claim("hub.download.kinds-apart")
def test_a_model_and_a_dataset_may_share_an_id(hub):
    """A model, a dataset and a Space of one id are three repositories, and stay so in the cache."""
    kinds = ("model", "dataset", "space")
    for kind in kinds:
        hub.store.create(kind, "tiny/one", {"README.md": kind})

    for options in ({}, {"local_files_only": True}):
        paths = {kind: hf_hub_download("tiny/one", "README.md", repo_type=kind, **options) for kind in kinds}
        assert {kind: Path(path).read_text() for kind, path in paths.items()} == {kind: kind for kind in kinds}


# Which revision


@pytest.mark.claim("hub.download.revision")
def test_a_revision_is_downloaded_as_it_was(hub):
    """A branch, a tag or a commit hash each gives the files of that revision."""
    repo = hub.model("tiny/one", {"a.txt": "first", "gone.txt": "x"})
    first = repo.sha
    repo.tag("v1.0")
    repo.branch("feature/x")
    repo.commit({"a.txt": "branch"}, branch="feature/x")
    repo.commit({"a.txt": "main", "gone.txt": None})

    for revision, files in (
        ("v1.0", {"a.txt": "first", "gone.txt": "x"}),
        (first, {"a.txt": "first", "gone.txt": "x"}),
        ("feature/x", {"a.txt": "branch", "gone.txt": "x"}),
        ("main", {"a.txt": "main"}),
    ):
        folder = Path(snapshot_download("tiny/one", revision=revision))
        assert {path.name: path.read_text() for path in folder.iterdir()} == files


@pytest.mark.claim("hub.download.newest")
def test_the_newest_commit_is_downloaded(hub):
    """Without a revision the newest commit is taken, also where an older one is in the cache."""
    repo = hub.model("tiny/one", {"a.txt": "old"})
    old = Path(hf_hub_download("tiny/one", "a.txt"))
    repo.commit({"a.txt": "new"})

    assert Path(hf_hub_download("tiny/one", "a.txt")).read_text() == "new"
    assert old.read_text() == "old"


# A second time


@pytest.mark.claim("hub.download.once")
@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_second_download_sends_no_content(hub, kind):
    """What is unchanged on the Hub is not sent again."""
    hub.store.create(kind, "tiny/one", FILES)
    first = snapshot_download("tiny/one", repo_type=kind)
    hub.log.clear()

    again = snapshot_download("tiny/one", repo_type=kind)
    hf_hub_download("tiny/one", "model.safetensors", repo_type=kind)

    assert again == first
    assert hub.log.file_bytes == 0


@pytest.mark.claim("hub.download.once")
def test_only_changed_files_are_sent_again(hub):
    """Of a new commit, only the files with new content are sent."""
    repo = hub.model("tiny/one", FILES)
    snapshot_download("tiny/one")
    repo.commit({"config.json": '{"a": 1}', "copy.safetensors": WEIGHTS})
    hub.log.clear()

    folder = snapshot_download("tiny/one")

    assert (Path(folder) / "copy.safetensors").read_bytes() == WEIGHTS
    assert hub.log.file_bytes == len('{"a": 1}')


@pytest.mark.claim("hub.download.pinned")
def test_a_pinned_commit_is_not_asked_for_again(hub):
    """A file of a pinned commit that is in the cache is not asked for again: a commit cannot change."""
    commit = hub.model("tiny/one", FILES).sha
    hf_hub_download("tiny/one", "config.json", revision=commit)
    hub.log.clear()

    hf_hub_download("tiny/one", "config.json", revision=commit)

    assert hub.log.files("tiny/one") == []


# What goes wrong


@pytest.mark.claim("hub.download.cut-off")
def test_a_cut_off_download_is_completed(hub, evidence):
    """Where the connection breaks in the middle of a file, the same call still delivers all of it."""
    hub.model("tiny/one", FILES)
    hub.cut("*.safetensors", after=1000, times=1)

    path = hf_hub_download("tiny/one", "model.safetensors")

    evidence["sent"] = [request.sent for request in hub.log if request.method == "GET" and request.sent]
    assert Path(path).read_bytes() == WEIGHTS


@pytest.mark.correction("hub.download.cut-off")
def test_a_cut_off_download_is_given_up(hub):
    """The call ends with an error, or with the beginning of the file taken for the file; it does not ask again."""
    hub.model("tiny/one", FILES)
    hub.cut("*.safetensors", after=1000, times=1)
    content = None

    with contextlib.suppress(Exception):  # of the HTTP library, another one in each era of the client
        content = Path(hf_hub_download("tiny/one", "model.safetensors")).read_bytes()

    assert content in (None, WEIGHTS[:1000])
    assert hub.log.file_bytes == 1000


@pytest.mark.claim("hub.download.resumed")
def test_a_cut_off_download_goes_on_where_it_ended(hub, big, evidence):
    """After a break the client asks for the rest: every byte arrives, and none is sent twice."""
    hub.cut("*.safetensors", after=STEP + 1000, times=1)

    path = hf_hub_download("tiny/one", "model.safetensors")

    evidence["sent"] = [request.sent for request in hub.log if request.sent]
    assert Path(path).read_bytes() == big
    assert hub.log.file_bytes == len(big)


@pytest.mark.correction("hub.download.resumed")
def test_a_cut_off_download_goes_on_in_steps(hub, big):
    """If the client asks again after a break, then from the last whole step of 10 MiB on."""
    hub.cut("*.safetensors", after=STEP + 1000, times=1)

    with contextlib.suppress(Exception):  # of the HTTP library, another one in each era of the client
        hf_hub_download("tiny/one", "model.safetensors")

    first, *more = [request.headers.get("range") for request in hub.log if request.sent]
    assert first is None
    assert more in ([], [f"bytes={STEP}-"])


def fail_halfway(hub):
    """Try a download of which one step and a bit arrive, and then nothing, however often the client tries.

    Returns the error, or None if the client did not notice.
    """
    hub.cut("*.safetensors", after=STEP + 1000, times=1)
    hub.cut("*.safetensors", after=0)
    error = None
    try:
        hf_hub_download("tiny/one", "model.safetensors")
    except Exception as caught:  # the HTTP library's own, another one in each era of the client
        error = caught
    hub.faults.clear()
    hub.log.clear()
    return error


@pytest.mark.slow
@pytest.mark.claim("hub.download.continued")
def test_a_download_that_failed_is_continued(hub, big, evidence):
    """The next call asks for what is missing, and not for what an earlier one, which failed, has received."""
    fail_halfway(hub)

    path = hf_hub_download("tiny/one", "model.safetensors")

    evidence["sent"], evidence["size"] = hub.log.file_bytes, len(big)
    assert Path(path).read_bytes() == big
    assert hub.log.file_bytes < len(big)


@pytest.mark.slow
@pytest.mark.correction("hub.download.continued")
def test_a_download_that_failed_starts_anew(hub, big):
    """The next call does not ask for the rest: it asks for all, or for nothing where the failure went unnoticed."""
    failure = fail_halfway(hub)

    hf_hub_download("tiny/one", "model.safetensors")

    assert hub.log.file_bytes == (len(big) if failure else 0)


@pytest.mark.slow
@pytest.mark.claim("hub.download.nothing-half")
def test_a_failed_download_leaves_nothing_half(hub, big, evidence):
    """A download that failed says so, and leaves nothing that the next call would take for the file."""
    failure = fail_halfway(hub)
    evidence["error"] = type(failure).__qualname__

    assert failure is not None
    assert Path(hf_hub_download("tiny/one", "model.safetensors")).read_bytes() == big


@pytest.mark.slow
@pytest.mark.correction("hub.download.nothing-half")
def test_a_failed_download_leaves_its_beginning(hub, big):
    """A download that broke off goes unnoticed; its beginning is taken for the file, also by the next call."""
    assert fail_halfway(hub) is None

    assert Path(hf_hub_download("tiny/one", "model.safetensors")).read_bytes() == big[: STEP + 1000]
    assert hub.log.file_bytes == 0


@pytest.mark.claim("hub.download.verified")
def test_a_download_is_compared_with_the_hub(hub, evidence):
    """Content that was damaged on its way is noticed."""
    hub.model("tiny/one", FILES)
    hub.corrupt("*.safetensors", times=1)

    path = hf_hub_download("tiny/one", "model.safetensors")

    evidence["sha256"] = {"on the Hub": sha256(WEIGHTS), "downloaded": sha256(Path(path).read_bytes())}
    assert Path(path).read_bytes() == WEIGHTS


@pytest.mark.correction("hub.download.verified")
def test_damaged_content_stays_in_the_cache(hub):
    """Damaged content of the right length is kept, and used again, under the SHA-256 that it should have."""
    hub.model("tiny/one", FILES)
    hub.corrupt("*.safetensors", times=1)
    path = Path(hf_hub_download("tiny/one", "model.safetensors"))
    hub.log.clear()

    again = Path(hf_hub_download("tiny/one", "model.safetensors"))

    assert hub.log.file_bytes == 0
    assert again.resolve().name == sha256(WEIGHTS) != sha256(again.read_bytes())
    hf_hub_download("tiny/one", "model.safetensors", force_download=True)
    assert path.read_bytes() == WEIGHTS


@pytest.mark.needs("huggingface_hub>=1.1.2")
@pytest.mark.correction("hub.download.verified")
def test_checksums_are_compared_when_asked_for(hub):
    """`verify_repo_checksums` names the damaged file, and none once it has been downloaded anew."""
    model_id = "tiny/one"
    hub.model(model_id, FILES)
    hub.corrupt("*.safetensors", times=1)
    snapshot_download(model_id)

    verification = HfApi().verify_repo_checksums(model_id)

    assert verification.checked_count == len(FILES)
    assert [mismatch["path"] for mismatch in verification.mismatches] == ["model.safetensors"]
    with pytest.raises(AssertionError):
        assert not verification.mismatches

    hf_hub_download(model_id, "model.safetensors", force_download=True)
    verification = HfApi().verify_repo_checksums(model_id)
    assert not verification.mismatches


@pytest.mark.claim("hub.download.missing")
@pytest.mark.parametrize(
    ("repo_id", "name", "revision", "error"),
    [
        ("tiny/none", "config.json", None, RepositoryNotFoundError),
        ("tiny/one", "none.json", None, EntryNotFoundError),
        ("tiny/one", "config.json", "v9", RevisionNotFoundError),
    ],
)
def test_each_missing_thing_has_its_own_error(hub, repo_id, name, revision, error):
    """A missing repository, file or revision is told by an error of its own, and sends no content."""
    hub.model("tiny/one", FILES)

    with pytest.raises(error):
        hf_hub_download(repo_id, name, revision=revision)
    assert hub.log.file_bytes == 0


@pytest.mark.claim("hub.download.found")
def test_what_is_found_can_be_downloaded(hub):
    """Every model that the Hub lists to somebody can be downloaded by them."""
    # Slide 4 says that one can download models; those of the organization that slide 12 shows are gated.
    hub.model("tiny/open", FILES)
    hub.model("tiny/gated", FILES, gated="manual")

    for model in list_models(author="tiny"):
        hf_hub_download(model.id, "config.json")


@pytest.mark.correction("hub.download.found")
def test_a_gated_model_is_for_those_let_in(hub, monkeypatch):
    """The files of a gated model go to those whom its owner has let in, with their token."""
    repo = hub.model("tiny/gated", FILES, gated="manual")
    # Every release reads a token from this variable.
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", hub.token("hf_student", user="student"))

    # Before it had a name of its own, the error was that of any refused request.
    with pytest.raises(getattr(utils, "GatedRepoError", HfHubHTTPError)) as refusal:
        hf_hub_download("tiny/gated", "config.json")
    assert refusal.value.response.status_code == 403
    assert hub.log.file_bytes == 0
    repo.granted.add("student")
    assert Path(hf_hub_download("tiny/gated", "config.json")).read_bytes() == b"{}"
