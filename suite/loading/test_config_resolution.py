"""Slide 19: where a config comes from: a local path, then the cache, then the Hub."""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, BertConfig

from fixtures import checkpoints
from fixtures.hub import Hub, Repo
from fixtures.process import Processes

CACHE = Path(os.environ["HF_HOME"]) / "hub"


def text(width: int) -> str:
    """A config.json by whose `hidden_size` one can tell where a config came from."""
    return json.dumps(checkpoints.config("bert", "masked-lm") | {"hidden_size": width})


def local(folder: Path, content: str | bytes) -> Path:
    """Make a folder with this config.json."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def requests(hub: Hub) -> list[str]:
    return [str(request) for request in hub.log]


def cached(hub: Hub, width: int = 32) -> Repo:
    """Put tiny/bert on the Hub and its config in the cache; forget the requests that this took."""
    repo = hub.model("tiny/bert", {"config.json": text(width)})
    AutoConfig.from_pretrained("tiny/bert")
    hub.log.clear()
    return repo


# --- first a local path -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [str, Path, "{}/".format], ids=["str", "Path", "trailing slash"])
@pytest.mark.claim("config.local-first")
def test_a_folder_is_read_without_a_request(hub, tmp_path, spelling):
    """The config of a local folder is read from there; the Hub is not asked."""
    folder = local(tmp_path / "model", text(96))
    config = AutoConfig.from_pretrained(spelling(folder))
    assert config.hidden_size == 96
    assert requests(hub) == []


@pytest.mark.parametrize("option", [{"revision": "no-such-branch"}, {"force_download": True}, {"token": "hf_none"}])
@pytest.mark.claim("config.local-first")
def test_options_for_the_hub_do_not_matter_to_a_folder(hub, tmp_path, option):
    """Revision, token and forced download mean nothing where a folder is read."""
    folder = local(tmp_path / "model", text(96))
    assert AutoConfig.from_pretrained(folder, **option).hidden_size == 96
    assert requests(hub) == []


@pytest.mark.parametrize("spelling", ["tiny/bert", "./tiny/bert", "tiny/bert/"])
@pytest.mark.claim("config.local-first.shadow")
def test_a_folder_shadows_the_hub_and_the_cache(hub, tmp_path, monkeypatch, spelling):
    """A folder below the working directory that is called like a Hub id goes before that id, cached or not."""
    cached(hub, width=32)
    local(tmp_path / "tiny" / "bert", text(96))
    monkeypatch.chdir(tmp_path)
    assert AutoConfig.from_pretrained(spelling).hidden_size == 96
    assert requests(hub) == []


@pytest.mark.claim("config.local-first.no-config")
def test_a_folder_without_a_config_is_an_error(hub, tmp_path, monkeypatch, evidence):
    """A folder without config.json is an error, even where cache and Hub have a config of that id."""
    cached(hub)
    (tmp_path / "tiny" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = None
    try:
        config = AutoConfig.from_pretrained("tiny/bert")
    except (OSError, ValueError) as refusal:
        evidence["message"] = str(refusal)
    assert config is None
    assert requests(hub) == []


@pytest.mark.correction("config.local-first.no-config")
def test_a_folder_without_a_config_is_guessed_from_its_name(tmp_path, monkeypatch):
    """An empty folder in whose path a model type is found (here bert) is that type with all defaults."""
    (tmp_path / "tiny" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = AutoConfig.from_pretrained("tiny/bert")
    assert type(config) is BertConfig
    assert config.hidden_size == BertConfig().hidden_size


@pytest.mark.claim("config.local-first.no-config-named-class")
def test_a_folder_without_a_config_is_an_error_for_a_named_class(tmp_path):
    """`BertConfig.from_pretrained` of a folder without config.json is an error."""
    config = None
    with contextlib.suppress(OSError, ValueError):
        config = BertConfig.from_pretrained(tmp_path)
    assert config is None


@pytest.mark.correction("config.local-first.no-config-named-class")
def test_a_named_class_makes_up_a_config(tmp_path):
    """`BertConfig.from_pretrained` of an empty folder is bert-base, without a warning."""
    config = BertConfig.from_pretrained(tmp_path)
    assert config.to_dict() == BertConfig().to_dict() | {"_name_or_path": config.name_or_path}


@pytest.mark.parametrize("name", ["config.json", "other.json"])
@pytest.mark.claim("config.local-first.file")
def test_a_path_to_the_file_is_read(hub, tmp_path, recwarn, name):
    """The path to a JSON file itself is read, whatever it is called, without a warning."""
    (tmp_path / name).write_text(text(96), encoding="utf-8")
    assert AutoConfig.from_pretrained(str(tmp_path / name)).hidden_size == 96
    assert requests(hub) == []
    assert [warning for warning in recwarn if warning.category in (FutureWarning, DeprecationWarning)] == []


@pytest.mark.claim("config.local-first.symlink")
def test_a_link_is_followed(hub, tmp_path):
    """A symbolic link to a folder or to a file is read like what it points to."""
    folder = local(tmp_path / "model", text(96))
    (tmp_path / "folder").symlink_to(folder)
    (tmp_path / "file").symlink_to(folder / "config.json")
    assert AutoConfig.from_pretrained(tmp_path / "folder").hidden_size == 96
    assert AutoConfig.from_pretrained(tmp_path / "file").hidden_size == 96
    assert requests(hub) == []


BROKEN = {
    "empty": b"",
    "cut off": b'{"model_type": "bert",',
    "trailing comma": b'{"model_type": "bert",}',
    "comment": b'// BERT\n{"model_type": "bert"}',
    "byte order mark": b'\xef\xbb\xbf{"model_type": "bert"}',
    "Latin-1": '{"model_type": "bert", "author": "André"}'.encode("latin-1"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.claim("config.local-first.broken")
def test_a_broken_file_is_refused_by_its_name(tmp_path, evidence, content):
    """A file that is no JSON is an error that names the file."""
    folder = local(tmp_path / "model", content)
    with pytest.raises(OSError, match=re.escape(str(folder / "config.json"))) as refusal:
        AutoConfig.from_pretrained(folder)
    evidence["message"] = str(refusal.value)


@pytest.mark.claim("config.local-first.null")
def test_json_that_is_no_dictionary_is_refused_by_its_name(tmp_path):
    """A file with JSON that is no dictionary (`null`) is an error that names the folder."""
    folder = local(tmp_path / "model", "null")
    message = ""
    try:
        AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError) as refusal:
        message = str(refusal)
    assert str(folder) in message


@pytest.mark.correction("config.local-first.null")
def test_json_that_is_no_dictionary_breaks_the_library(tmp_path):
    """The file is not checked to be a dictionary: `null` is a TypeError from within."""
    with pytest.raises(TypeError, match="NoneType"):
        AutoConfig.from_pretrained(local(tmp_path / "model", "null"))


@pytest.mark.parametrize("absent", ["/no/such/folder", "./model", "a/b/c"])
@pytest.mark.claim("config.local-first.absent")
def test_a_path_that_is_not_there_is_asked_of_the_hub(hub, tmp_path, monkeypatch, absent):
    """A path that does not exist is looked up in the cache and on the Hub."""
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(OSError, ValueError):
        AutoConfig.from_pretrained(absent)
    assert requests(hub) != []


@pytest.mark.parametrize("absent", ["/no/such/folder", "./model", "a/b/c"])
@pytest.mark.correction("config.local-first.absent")
def test_what_cannot_be_an_id_is_not_asked_of_the_hub(hub, tmp_path, monkeypatch, absent):
    """What cannot be a Hub id ("name" or "owner/name") is an error, without a request."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OSError, ValueError)):
        AutoConfig.from_pretrained(absent)
    assert requests(hub) == []


@pytest.mark.correction("config.local-first.absent")
def test_a_mistyped_folder_is_asked_of_the_hub(hub, tmp_path, monkeypatch):
    """A mistyped "models/mine" is a Hub id: its name is sent there."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="models/mine"):
        AutoConfig.from_pretrained("models/mine")
    assert requests(hub) != []


@pytest.mark.claim("config.local-first.tilde")
def test_a_tilde_stands_for_the_home_folder(tmp_path, monkeypatch):
    """`~/model` is the folder `model` in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    local(tmp_path / "model", text(96))
    width = None
    with contextlib.suppress(OSError, ValueError):
        width = AutoConfig.from_pretrained("~/model").hidden_size
    assert width == 96


@pytest.mark.correction("config.local-first.tilde")
def test_a_tilde_has_to_be_expanded(tmp_path, monkeypatch):
    """The library does not expand `~`; `Path.expanduser` does."""
    monkeypatch.setenv("HOME", str(tmp_path))
    local(tmp_path / "model", text(96))
    with pytest.raises((OSError, ValueError)):
        AutoConfig.from_pretrained("~/model")
    config = AutoConfig.from_pretrained(Path("~/model").expanduser())
    assert config.hidden_size == 96


# --- then the cache ---------------------------------------------------------------------------------------------------


@pytest.mark.claim("config.cache-second")
def test_a_cached_config_costs_no_request(hub, evidence):
    """A config that is in the cache is used before anything is asked of the Hub."""
    cached(hub)
    AutoConfig.from_pretrained("tiny/bert")
    evidence["requests"] = requests(hub)
    assert requests(hub) == []


@pytest.mark.correction("config.cache-second")
def test_the_hub_is_asked_which_version_is_current(hub):
    """The Hub is asked first; it answers whether the cached copy is current, and sends no file."""
    cached(hub)
    AutoConfig.from_pretrained("tiny/bert")
    assert len(hub.log) == 1
    assert hub.log.file_bytes == 0


@pytest.mark.correction("config.cache-second")
def test_the_hub_is_not_asked_with_local_files_only(hub):
    """With `local_files_only=True` the cached copy is used, and the Hub is not asked."""
    model_id = "tiny/bert"
    cached(hub)
    config = AutoConfig.from_pretrained(model_id, local_files_only=True)
    assert config.hidden_size == 32
    assert requests(hub) == []


@pytest.mark.claim("config.cache-second.no-download")
def test_a_cached_config_is_not_downloaded_again(hub):
    """What is in the cache is not sent a second time."""
    cached(hub)
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32
    assert "GET config.json" not in hub.log.files("tiny/bert")


@pytest.mark.claim("config.cache-second.changed")
def test_a_cached_config_is_used_even_if_the_hub_has_a_newer_one(hub):
    """What is in the cache is used, whatever happened on the Hub since."""
    repo = cached(hub, width=32)
    repo.commit({"config.json": text(64)})
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32


@pytest.mark.correction("config.cache-second.changed")
def test_a_newer_config_is_downloaded(hub):
    """The newer version is downloaded and used from then on; the older one stays beside it."""
    repo = cached(hub, width=32)
    repo.commit({"config.json": text(64)})
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 64
    assert AutoConfig.from_pretrained("tiny/bert", local_files_only=True).hidden_size == 64
    assert AutoConfig.from_pretrained("tiny/bert", revision=repo.commits[1], local_files_only=True).hidden_size == 32


@pytest.mark.claim("config.cache-second.same-etag")
def test_a_new_commit_with_the_same_config_costs_no_download(hub):
    """A commit that leaves config.json as it was does not make it be sent again: its ETag is the same."""
    repo = cached(hub)
    repo.commit({"README.md": "A model."})
    AutoConfig.from_pretrained("tiny/bert")
    assert "GET config.json" not in hub.log.files("tiny/bert")
    assert {path.parent.name for path in CACHE.glob("models--tiny--bert/snapshots/*/config.json")} == set(repo.commits)


@pytest.mark.claim("config.cache-second.local-files-only")
def test_local_files_only_asks_nothing(hub):
    """With `local_files_only=True` the cache is used and nothing is asked."""
    cached(hub)
    assert AutoConfig.from_pretrained("tiny/bert", local_files_only=True).hidden_size == 32
    assert requests(hub) == []


@pytest.mark.claim("config.cache-second.local-files-only")
def test_local_files_only_fails_without_a_cached_copy(hub):
    """With `local_files_only=True`, what is not in the cache is an error without a request."""
    hub.model("tiny/bert", {"config.json": text(32)})
    config = None
    with contextlib.suppress(OSError):
        config = AutoConfig.from_pretrained("tiny/bert", local_files_only=True)
    assert config is None
    assert requests(hub) == []


# Where the cache is if no variable says so; and a shell in which nothing is set but the offline switch.
DEFAULT_CACHE = Path.home() / ".cache" / "huggingface"
UNSET = {"HF_HOME": "", "XDG_CACHE_HOME": ""}
OFFLINE = UNSET | {"HF_HUB_OFFLINE": "1"}
# Where an older tutorial's variable puts it.
ELSEWHERE = Path.home() / "elsewhere"


@pytest.fixture
def empty_home():
    """Nothing is cached in the home folder: `hub` empties HF_HOME alone."""
    for folder in (DEFAULT_CACHE, ELSEWHERE):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.claim("config.cache-second.offline")
@pytest.mark.usefixtures("empty_home")
def test_offline_the_cache_is_used(hub, fresh_process):
    """With HF_HUB_OFFLINE=1 the cached copy is used without a request, whatever the Hub has since."""

    def width():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained("tiny/offline").hidden_size

    repo = hub.model("tiny/offline", {"config.json": text(32)})
    AutoConfig.from_pretrained("tiny/offline", cache_dir=DEFAULT_CACHE / "hub")
    repo.commit({"config.json": text(64)})
    hub.log.clear()
    assert fresh_process(width, env=OFFLINE) == 32
    assert requests(hub) == []


@pytest.mark.claim("config.cache-second.offline")
@pytest.mark.usefixtures("empty_home")
def test_offline_what_is_not_cached_is_an_error(hub, fresh_process):
    """With HF_HUB_OFFLINE=1, what is not in the cache is an error without a request."""

    def width():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained("tiny/bert").hidden_size

    hub.model("tiny/bert", {"config.json": text(32)})
    found = None
    with contextlib.suppress(OSError):
        found = fresh_process(width, env=OFFLINE)
    assert found is None
    assert requests(hub) == []


@pytest.mark.slow
@pytest.mark.claim("config.cache-second.transformers-offline")
def test_the_older_switch_works(hub, fresh_process):
    """TRANSFORMERS_OFFLINE=1, the older name, does the same."""

    def width():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained("tiny/bert").hidden_size

    cached(hub, width=32).commit({"config.json": text(64)})
    assert fresh_process(width, env={"TRANSFORMERS_OFFLINE": "1"}) == 32
    assert requests(hub) == []


@pytest.mark.claim("config.cache-second.unreachable")
def test_an_unreachable_hub_does_not_matter(hub, evidence):
    """Where the Hub refuses connections, the cached copy is used."""
    cached(hub)
    hub.refuse()
    started = time.monotonic()
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32
    evidence["seconds"] = round(time.monotonic() - started, 1)


@pytest.mark.claim("config.cache-second.failing")
def test_a_failing_hub_does_not_matter(hub, evidence):
    """Where the Hub answers with a 429, a 500 or a 503, again and again, the cached copy is used."""
    ids = {status: f"tiny/bert-{status}" for status in (429, 500, 503)}
    for width, model_id in ids.items():
        hub.model(model_id, {"config.json": text(width)})
        AutoConfig.from_pretrained(model_id)
    hub.log.clear()
    for status, model_id in ids.items():
        hub.fail(f"*{model_id}*", status)
    with ThreadPoolExecutor() as pool:  # all at once: some clients ask again for 23 s
        configs = list(pool.map(AutoConfig.from_pretrained, ids.values()))
    evidence["requests"] = sorted(requests(hub))
    assert [config.hidden_size for config in configs] == [429, 500, 503]


@pytest.mark.claim("config.cache-second.pinned")
def test_a_pinned_commit_costs_no_request(hub):
    """With a commit's hash as revision the cached copy is used without a request: it cannot have changed."""
    repo = cached(hub, width=32)
    commit = repo.sha
    repo.commit({"config.json": text(64)})
    assert AutoConfig.from_pretrained("tiny/bert", revision=commit).hidden_size == 32
    assert requests(hub) == []


@pytest.mark.claim("config.cache-second.tag")
def test_a_tag_costs_no_request(hub):
    """With a tag as revision the cached copy is used without a request."""
    repo = cached(hub)
    repo.tag("v1")
    AutoConfig.from_pretrained("tiny/bert", revision="v1")
    hub.log.clear()
    AutoConfig.from_pretrained("tiny/bert", revision="v1")
    assert requests(hub) == []


@pytest.mark.correction("config.cache-second.tag")
def test_a_tag_may_have_moved(hub):
    """A tag is asked for like a branch, since it can be moved; and its new place is what counts."""
    repo = cached(hub, width=32)
    repo.tag("v1")
    AutoConfig.from_pretrained("tiny/bert", revision="v1")
    repo.commit({"config.json": text(64)})
    repo.tag("v1")
    assert AutoConfig.from_pretrained("tiny/bert", revision="v1").hidden_size == 64


def take_away(hub: Hub, repo: Repo, how: str) -> None:
    if how == "deleted":
        del hub.store.repos["model", repo.id]
    else:
        repo.private = True


@pytest.mark.parametrize("how", ["deleted", "made private"])
@pytest.mark.claim("config.cache-second.gone")
def test_a_repository_that_is_gone_is_still_cached(hub, how):
    """What was deleted from the Hub, or made private, is still used from the cache."""
    take_away(hub, cached(hub, width=32), how)
    width = None
    with contextlib.suppress(OSError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width == 32


@pytest.mark.parametrize("how", ["deleted", "made private"])
@pytest.mark.correction("config.cache-second.gone")
def test_a_repository_that_is_gone_has_to_be_loaded_offline(hub, how):
    """What is gone from the Hub is an error, although it is cached; with `local_files_only=True` it is used."""
    take_away(hub, cached(hub, width=32), how)
    with pytest.raises(OSError, match="tiny/bert"):
        AutoConfig.from_pretrained("tiny/bert")
    assert AutoConfig.from_pretrained("tiny/bert", local_files_only=True).hidden_size == 32


@pytest.mark.claim("config.cache-second.file-gone")
def test_a_file_that_is_gone_is_still_cached(hub):
    """What a newer commit deleted is still used from the cache."""
    repo = cached(hub, width=32)
    repo.commit({"config.json": None, "README.md": "No config any more."})
    width = None
    with contextlib.suppress(OSError, ValueError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width == 32


@pytest.mark.correction("config.cache-second.file-gone")
def test_a_file_that_is_gone_counts_as_missing(hub):
    """The newest commit counts, deletions included; the older one has to be asked for."""
    repo = cached(hub, width=32)
    repo.commit({"config.json": None, "README.md": "No config any more."})
    width = None
    with contextlib.suppress(OSError, ValueError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width != 32
    assert AutoConfig.from_pretrained("tiny/bert", revision=repo.commits[1]).hidden_size == 32


@pytest.mark.claim("config.cache-second.gated")
def test_a_repository_that_is_gated_is_still_cached(hub):
    """What was gated since is still used from the cache."""
    cached(hub, width=32).gated = True
    width = None
    with contextlib.suppress(OSError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width == 32


@pytest.mark.correction("config.cache-second.gated")
def test_a_repository_that_is_gated_has_to_be_loaded_offline(hub):
    """What was gated since is an error; with `local_files_only=True` the cached copy is used."""
    cached(hub, width=32).gated = True
    with pytest.raises(OSError, match="tiny/bert"):
        AutoConfig.from_pretrained("tiny/bert")
    assert AutoConfig.from_pretrained("tiny/bert", local_files_only=True).hidden_size == 32


@pytest.mark.claim("config.cache-second.gated-changed")
def test_a_gated_repository_that_has_changed_is_still_cached(hub):
    """What was gated since is used from the cache even if a newer commit has another config."""
    repo = cached(hub, width=32)
    repo.gated = True
    repo.commit({"config.json": text(64)})
    width = None
    with contextlib.suppress(OSError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width == 32


@pytest.mark.correction("config.cache-second.gated-changed")
def test_a_gated_repository_that_has_changed_has_to_be_pinned(hub):
    """The newest commit counts, and that is gated; the cached copy can be had by its commit's hash."""
    repo = cached(hub, width=32)
    repo.gated = True
    repo.commit({"config.json": text(64)})
    with pytest.raises(OSError, match="tiny/bert"):
        AutoConfig.from_pretrained("tiny/bert")
    assert AutoConfig.from_pretrained("tiny/bert", revision=repo.commits[1]).hidden_size == 32


# --- where the cache is -----------------------------------------------------------------------------------------------


@pytest.mark.claim("config.cache-path")
@pytest.mark.usefixtures("empty_home")
def test_a_config_is_found_below_the_home_folder(hub, fresh_process):
    """Where no variable says otherwise, a config below `~/.cache/huggingface/` is found."""

    def width():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained("tiny/to-be-found").hidden_size

    hub.model("tiny/to-be-found", {"config.json": text(48)})
    AutoConfig.from_pretrained("tiny/to-be-found", cache_dir=DEFAULT_CACHE / "hub")
    assert fresh_process(width, env=OFFLINE) == 48


@pytest.mark.claim("config.cache-path")
@pytest.mark.usefixtures("empty_home")
def test_a_config_is_stored_below_the_home_folder(hub, fresh_process):
    """Where no variable says otherwise, the client stores a config below `~/.cache/huggingface/`."""

    def stored():
        # The client alone: it imports in a tenth of the time, and its cache is the one that transformers uses.
        from huggingface_hub import hf_hub_download

        return hf_hub_download("tiny/by-default", "config.json")

    hub.model("tiny/by-default", {"config.json": text(32)})
    assert Path(fresh_process(stored, env=UNSET)).is_relative_to(DEFAULT_CACHE)


@pytest.mark.claim("config.cache-path.folder")
def test_a_config_lies_in_the_snapshot_of_its_commit(hub):
    """In the cache a config is `hub/models--OWNER--NAME/snapshots/COMMIT/config.json`."""
    repo = cached(hub)
    path = CACHE / "models--tiny--bert" / "snapshots" / repo.sha / "config.json"
    assert path.read_bytes() == repo.files()["config.json"]


@pytest.mark.claim("config.cache-path.folder")
def test_an_id_without_an_owner_lies_in_a_folder_without_an_owner(hub):
    """An id like `bert-base-uncased` has the folder `models--bert-base-uncased`."""
    repo = hub.model("bert-base-uncased", {"config.json": text(32)})
    AutoConfig.from_pretrained("bert-base-uncased")
    assert (CACHE / "models--bert-base-uncased" / "snapshots" / repo.sha / "config.json").is_file()


@pytest.mark.claim("config.cache-path.plain-file")
def test_a_cached_config_is_a_file(hub):
    """The cached config is a plain file."""
    repo = cached(hub)
    path = CACHE / "models--tiny--bert" / "snapshots" / repo.sha / "config.json"
    assert not path.is_symlink()


@pytest.mark.correction("config.cache-path.plain-file")
def test_a_cached_config_is_a_link_to_a_blob(hub):
    """It is a link to a file in `blobs`, called by its ETag, that all commits with the same content share."""
    repo = cached(hub)
    repo.commit({"README.md": "A model."})
    AutoConfig.from_pretrained("tiny/bert")
    links = list(CACHE.glob("models--tiny--bert/snapshots/*/config.json"))
    blobs = list(CACHE.glob("models--tiny--bert/blobs/*"))
    assert len(links) == 2
    assert [link.resolve() for link in links] == [blob.resolve() for blob in blobs] * 2
    assert [blob.name for blob in blobs] == [repo.resolve("main").files["config.json"].etag]


@pytest.mark.claim("config.cache-path.client")
def test_the_cache_is_the_client_s(hub):
    """The cache is that of the Hub client: what `AutoConfig` stored, `huggingface_hub` finds."""
    repo = cached(hub)
    found = try_to_load_from_cache("tiny/bert", "config.json")
    assert Path(found).read_bytes() == repo.files()["config.json"]


@pytest.mark.claim("config.cache-path.argument")
def test_cache_dir_goes_before_the_environment(hub, tmp_path):
    """`cache_dir=` goes before every variable, and is itself the folder that holds `models--...`."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    AutoConfig.from_pretrained("tiny/bert", cache_dir=tmp_path)
    assert (tmp_path / "models--tiny--bert" / "snapshots" / repo.sha / "config.json").is_file()
    assert list(CACHE.glob("models--*")) == []


# The variables, with the part of the path that each of them stands for; the first that is set counts.
VARIABLES = {
    "HF_HUB_CACHE": "",
    "HUGGINGFACE_HUB_CACHE": "",
    "HF_HOME": "hub",
    "XDG_CACHE_HOME": "huggingface/hub",
}


def stored_with(variables: Sequence[str], folder: Path, fresh_process: Processes) -> Path:
    """Where the client stores a config if each of these variables, and no other one, names a folder of its own."""

    def stored():
        from huggingface_hub import hf_hub_download

        return hf_hub_download("tiny/bert", "config.json")

    env = dict.fromkeys(VARIABLES, "") | {name: str(folder / name) for name in variables}
    return Path(fresh_process(stored, env=env))


@pytest.mark.claim("config.cache-path.hf-hub-cache")
def test_hf_hub_cache_goes_before_the_others(hub, tmp_path, fresh_process):
    """HF_HUB_CACHE goes before all other variables."""
    hub.model("tiny/bert", {"config.json": text(32)})
    path = stored_with(list(VARIABLES), tmp_path, fresh_process)
    assert path.is_relative_to(tmp_path / "HF_HUB_CACHE" / "models--tiny--bert")


@pytest.mark.correction("config.cache-path.hf-hub-cache")
def test_hf_hub_cache_is_ignored(hub, tmp_path, fresh_process):
    """HF_HUB_CACHE is not read: HUGGINGFACE_HUB_CACHE goes before all other variables."""
    hub.model("tiny/bert", {"config.json": text(32)})
    path = stored_with(list(VARIABLES), tmp_path, fresh_process)
    assert path.is_relative_to(tmp_path / "HUGGINGFACE_HUB_CACHE" / "models--tiny--bert")


@pytest.mark.parametrize("first", ["HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
@pytest.mark.claim("config.cache-path.variables")
def test_variables_of_the_cache(hub, tmp_path, fresh_process, first):
    """HUGGINGFACE_HUB_CACHE goes before HF_HOME, and that before XDG_CACHE_HOME."""
    hub.model("tiny/bert", {"config.json": text(32)})
    names = list(VARIABLES)
    path = stored_with(names[names.index(first) :], tmp_path, fresh_process)
    assert path.is_relative_to(tmp_path / first / VARIABLES[first] / "models--tiny--bert")


@pytest.mark.claim("config.cache-path.variables")
def test_hf_home_takes_the_place_of_the_default(hub):
    """For `AutoConfig`, too, HF_HOME goes before XDG_CACHE_HOME: both are set in this process."""
    assert os.environ["XDG_CACHE_HOME"]
    repo = cached(hub)
    folder = Path(os.environ["HF_HOME"]) / "hub" / "models--tiny--bert"
    assert (folder / "snapshots" / repo.sha / "config.json").is_file()


def load_with_transformers_cache(repo_id: str, fresh_process: Processes) -> None:
    """Load a config in a process in which TRANSFORMERS_CACHE names the folder `ELSEWHERE`."""

    def load():
        from transformers import AutoConfig

        AutoConfig.from_pretrained(repo_id)

    fresh_process(load, env={"TRANSFORMERS_CACHE": str(ELSEWHERE)})


@pytest.mark.slow
@pytest.mark.claim("config.cache-path.transformers-cache")
@pytest.mark.usefixtures("empty_home")
def test_transformers_cache_moves_the_cache(hub, fresh_process):
    """TRANSFORMERS_CACHE, the variable of older tutorials, moves the cache."""
    hub.model("tiny/moved", {"config.json": text(32)})
    load_with_transformers_cache("tiny/moved", fresh_process)
    assert list(ELSEWHERE.glob("models--tiny--moved/snapshots/*/config.json")) != []


@pytest.mark.slow
@pytest.mark.correction("config.cache-path.transformers-cache")
@pytest.mark.usefixtures("empty_home")
def test_transformers_cache_is_ignored(hub, fresh_process):
    """TRANSFORMERS_CACHE is not read; HF_HOME is."""
    hub.model("tiny/not-moved", {"config.json": text(32)})
    load_with_transformers_cache("tiny/not-moved", fresh_process)
    assert list(ELSEWHERE.glob("models--tiny--not-moved/snapshots/*/config.json")) == []
    assert list(CACHE.glob("models--tiny--not-moved/snapshots/*/config.json")) != []


# --- last the Hub -----------------------------------------------------------------------------------------------------


@pytest.mark.claim("config.hub-last")
def test_the_config_is_requested_and_stored(hub, evidence):
    """What is neither local nor cached is requested from the Hub and stored, byte by byte."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32
    evidence["requests"] = requests(hub)
    assert hub.log.files("tiny/bert").count("GET config.json") == 1
    assert Path(try_to_load_from_cache("tiny/bert", "config.json")).read_bytes() == repo.files()["config.json"]
    assert AutoConfig.from_pretrained("tiny/bert", local_files_only=True).hidden_size == 32


@pytest.mark.claim("config.hub-last.config-alone")
def test_nothing_but_the_config_is_downloaded(hub):
    """Of a whole checkpoint, config.json is all that is sent."""
    rest = {
        "model.safetensors": b"parameters",
        "vocab.txt": "[PAD]",
        "tokenizer_config.json": "{}",
        "README.md": "A model.",
    }
    hub.model("tiny/bert", {"config.json": text(32)} | rest)
    AutoConfig.from_pretrained("tiny/bert")
    assert hub.log.file_bytes == len(text(32))


@pytest.mark.claim("config.hub-last.one-request")
def test_a_config_is_one_request(hub, evidence):
    """A request is sent: one."""
    hub.model("tiny/bert", {"config.json": text(32)})
    AutoConfig.from_pretrained("tiny/bert")
    evidence["requests"] = requests(hub)
    assert len(hub.log) == 1


@pytest.mark.correction("config.hub-last.one-request")
def test_metadata_is_requested_before_the_config(hub):
    """What is asked first is metadata, with HEAD among it; the last request is the one for the file."""
    hub.model("tiny/bert", {"config.json": text(32)})
    AutoConfig.from_pretrained("tiny/bert")
    assert hub.log.files("tiny/bert") == ["HEAD config.json", "GET config.json"]
    assert hub.log[-1].method == "GET"


@pytest.mark.claim("config.hub-last.missing-repo")
def test_a_missing_repository_is_an_error_that_names_it(hub, evidence):
    """An id that the Hub does not have is an error that names it; nothing is stored."""
    with pytest.raises(OSError, match="tiny/no-such-bert") as refusal:
        AutoConfig.from_pretrained("tiny/no-such-bert")
    evidence["message"] = str(refusal.value)
    assert list(CACHE.rglob("config.json")) == []


@pytest.mark.parametrize("revision", ["no-such-branch", "0" * 40])
@pytest.mark.claim("config.hub-last.missing-revision")
def test_a_missing_revision_is_an_error_that_names_it(hub, evidence, revision):
    """A revision that the repository does not have is an error that names it, even if another one is cached."""
    cached(hub)
    with pytest.raises(OSError, match=revision) as refusal:
        AutoConfig.from_pretrained("tiny/bert", revision=revision)
    evidence["message"] = str(refusal.value)


@pytest.mark.claim("config.hub-last.missing-file")
def test_a_repository_without_a_config_is_an_error_that_names_it(hub, evidence):
    """A repository without config.json is an error that names the repository."""
    hub.model("tiny/text", {"README.md": "No model."})
    with pytest.raises((OSError, ValueError), match="tiny/text") as refusal:
        AutoConfig.from_pretrained("tiny/text")
    evidence["message"] = str(refusal.value)


@pytest.mark.claim("config.hub-last.missing-file-named-class")
def test_a_repository_without_a_config_is_an_error_for_a_named_class(hub):
    """`BertConfig.from_pretrained` of a repository without config.json is an error."""
    hub.model("tiny/text", {"README.md": "No model."})
    config = None
    with contextlib.suppress(OSError, ValueError):
        config = BertConfig.from_pretrained("tiny/text")
    assert config is None


@pytest.mark.correction("config.hub-last.missing-file-named-class")
def test_a_named_class_makes_up_the_config_of_a_repository(hub):
    """`BertConfig.from_pretrained` of a repository without config.json is bert-base."""
    hub.model("tiny/text", {"README.md": "No model."})
    config = BertConfig.from_pretrained("tiny/text")
    assert config.to_dict() == BertConfig().to_dict() | {"_name_or_path": config.name_or_path}


# Before 4.32 the argument was called `use_auth_token`.
@pytest.mark.needs("transformers>=4.32")
@pytest.mark.parametrize("restriction", ["gated", "private"])
@pytest.mark.parametrize("token", [None, "hf_stranger", "hf_invalid"])
@pytest.mark.claim("config.hub-last.restricted")
def test_a_restricted_config_needs_the_right_token(hub, evidence, restriction, token):
    """Without a token that has access, a gated or private repository is an error; nothing is stored."""
    hub.token("hf_stranger", "somebody")
    hub.model("tiny/bert", {"config.json": text(32)}, **{restriction: True})
    with pytest.raises(OSError, match="tiny/bert") as refusal:
        AutoConfig.from_pretrained("tiny/bert", token=token)
    evidence["message"] = str(refusal.value)
    assert hub.log.file_bytes == 0
    assert list(CACHE.rglob("config.json")) == []


@pytest.mark.needs("transformers>=4.32")
@pytest.mark.parametrize("restriction", ["gated", "private"])
@pytest.mark.claim("config.hub-last.token")
def test_a_token_with_access_is_sent(hub, restriction):
    """With a token that has access, a gated or private repository is loaded; each request carries the token."""
    hub.token("hf_owner", "tiny")
    hub.model("tiny/bert", {"config.json": text(32)}, **{restriction: True})
    assert AutoConfig.from_pretrained("tiny/bert", token="hf_owner").hidden_size == 32
    assert {request.headers.get("authorization") for request in hub.log} == {"Bearer hf_owner"}


@pytest.mark.claim("config.hub-last.one-failure")
def test_one_failure_of_the_metadata_does_not_matter(hub, evidence):
    """One 429, 500 or 503 in answer to HEAD is asked again."""
    widths = {}
    for status in (429, 500, 503):
        hub.model(f"tiny/bert-{status}", {"config.json": text(32)})
        hub.fail(f"*bert-{status}/*/config.json", status, times=1, method="HEAD")
        with contextlib.suppress(OSError):
            widths[status] = AutoConfig.from_pretrained(f"tiny/bert-{status}").hidden_size
    evidence["requests"] = requests(hub)
    assert widths == {429: 32, 500: 32, 503: 32}


@pytest.mark.correction("config.hub-last.one-failure")
def test_one_failure_of_the_metadata_is_an_error(hub, evidence):
    """A single 429, a 500 and a 503, or any of them stops the load, and is not asked again; the next call succeeds."""
    evidence["stopped by"] = []
    for status in (429, 500, 503):
        hub.model(f"tiny/bert-{status}", {"config.json": text(32)})
        hub.fail(f"*bert-{status}/*/config.json", status, times=1, method="HEAD")
        try:
            AutoConfig.from_pretrained(f"tiny/bert-{status}")
        except OSError:
            evidence["stopped by"].append(status)
            assert len([request for request in hub.log if f"bert-{status}" in request.path]) == 1
        assert AutoConfig.from_pretrained(f"tiny/bert-{status}").hidden_size == 32
    assert evidence["stopped by"] in ([429, 500, 503], [500, 503], [429])


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.claim("config.hub-last.one-failure-of-the-file")
def test_one_failure_of_the_file_does_not_matter(hub, status):
    """One 500 or 503 in answer to GET is asked again, too."""
    hub.model("tiny/bert", {"config.json": text(32)})
    hub.fail("*/config.json", status, times=1, method="GET")
    width = None
    with contextlib.suppress(OSError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width == 32


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.correction("config.hub-last.one-failure-of-the-file")
def test_one_failure_of_the_file_is_an_error(hub, evidence, status):
    """One 500 or 503 in answer to GET is an error at once; it leaves nothing, and the next call succeeds."""
    hub.model("tiny/bert", {"config.json": text(32)})
    hub.fail("*/config.json", status, times=1, method="GET")
    with pytest.raises(OSError, match=rf"{status}|connection error"):
        AutoConfig.from_pretrained("tiny/bert")
    evidence["requests"] = requests(hub)
    assert list(CACHE.rglob("config.json")) == []
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32


@pytest.mark.claim("config.hub-last.cut-once")
def test_an_answer_that_is_cut_off_is_asked_for_again(hub, evidence):
    """Where the connection breaks in the middle, the file is asked for again; what is stored is whole."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    hub.cut("*/config.json", after=50, times=1)
    try:
        AutoConfig.from_pretrained("tiny/bert")
    except Exception as error:  # of the HTTP library, which is another one from release to release
        evidence["error"] = f"{type(error).__name__}: {error}"[:300]
    evidence["requests"] = requests(hub)
    stored = try_to_load_from_cache("tiny/bert", "config.json")
    assert stored is not None
    assert Path(stored).read_bytes() == repo.files()["config.json"]


@pytest.mark.correction("config.hub-last.cut-once")
def test_an_answer_that_is_cut_off_is_an_error(hub):
    """Where the connection breaks in the middle, no file is loaded; at most the piece is kept, and can be replaced."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    hub.cut("*/config.json", after=50, times=1)
    width = None
    with contextlib.suppress(Exception):  # of the HTTP library, which is another one from release to release
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    assert width in (None, 768)  # 768 is the default: no file has it
    assert hub.log.file_bytes == 50
    if stored := try_to_load_from_cache("tiny/bert", "config.json"):
        assert Path(stored).read_bytes() == repo.files()["config.json"][:50]
    assert AutoConfig.from_pretrained("tiny/bert", force_download=True).hidden_size == 32


@pytest.mark.slow
@pytest.mark.claim("config.hub-last.cut")
def test_nothing_half_written_is_trusted(hub):
    """Where the connection breaks each time, that is an error; nothing half-written is used later."""
    hub.model("tiny/bert", {"config.json": text(32)})
    hub.cut("*/config.json", after=50)
    config = None
    with contextlib.suppress(Exception):  # of the HTTP library, which is another one from release to release
        config = AutoConfig.from_pretrained("tiny/bert")
    assert config is None
    assert try_to_load_from_cache("tiny/bert", "config.json") is None
    hub.faults.clear()
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32


@pytest.mark.slow
@pytest.mark.correction("config.hub-last.cut")
def test_a_half_written_file_is_trusted_or_defaults_are(hub, evidence):
    """Either the piece that arrived is stored, and later loads stumble over it, or defaults come back in silence."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    hub.cut("*/config.json", after=50)
    width = None
    with contextlib.suppress(OSError):
        width = AutoConfig.from_pretrained("tiny/bert").hidden_size
    stored = try_to_load_from_cache("tiny/bert", "config.json")
    evidence["width"], evidence["stored"] = width, stored is not None
    hub.faults.clear()
    if stored is None:
        assert width == 768  # the default: no file has it
        assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32
    else:
        assert width is None
        assert Path(stored).read_bytes() == repo.files()["config.json"][:50]
        with pytest.raises(OSError, match=r"config\.json"):
            AutoConfig.from_pretrained("tiny/bert")
        assert AutoConfig.from_pretrained("tiny/bert", force_download=True).hidden_size == 32


@pytest.mark.claim("config.hub-last.damaged")
def test_a_damaged_answer_is_noticed(hub):
    """What is stored is what the Hub holds: content that was damaged on its way is not."""
    repo = hub.model("tiny/bert", {"config.json": text(32)})
    hub.corrupt("*/config.json", times=1)
    with contextlib.suppress(OSError):
        AutoConfig.from_pretrained("tiny/bert")
    stored = [path.read_bytes() for path in CACHE.rglob("config.json")]
    assert stored in ([], [repo.files()["config.json"]])


@pytest.mark.correction("config.hub-last.damaged")
def test_a_damaged_answer_is_stored_and_trusted(hub):
    """Only the length is checked: damaged content is stored, and used until a download is forced."""
    hub.model("tiny/bert", {"config.json": text(32)})
    hub.corrupt("*/config.json", times=1)
    for _ in range(2):
        with pytest.raises(OSError, match=r"config\.json"):
            AutoConfig.from_pretrained("tiny/bert")
    assert hub.log.files("tiny/bert").count("GET config.json") == 1
    assert AutoConfig.from_pretrained("tiny/bert", force_download=True).hidden_size == 32
    assert AutoConfig.from_pretrained("tiny/bert").hidden_size == 32


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["refuse", "fail"])
@pytest.mark.claim("config.hub-last.unreachable")
def test_an_unreachable_hub_is_an_error(hub, evidence, trouble):
    """Where nothing is cached and the Hub cannot be reached, or only fails, that is an error."""
    hub.model("tiny/bert", {"config.json": text(32)})
    if trouble == "refuse":
        hub.refuse()
    else:
        hub.fail("*", 503)
    config, started = None, time.monotonic()
    with contextlib.suppress(OSError):
        config = AutoConfig.from_pretrained("tiny/bert")
    evidence["seconds"] = round(time.monotonic() - started)
    evidence["requests"] = requests(hub)
    assert config is None
