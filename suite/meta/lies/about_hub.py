"""Lies about slides 4 to 12: what the Hub's client finds, downloads, uploads, and reads off pages and cards."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.meta.lies import lie


def around(patch: Any, owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Decorator: where the library calls `owner.name(...)`, it now gets `changed(real, ...)`.

    `real` is what stood there before; of a class method it is bound to the class.
    """
    real = inspect.getattr_static(owner, name)

    def put(changed: Callable[..., Any]) -> None:
        if isinstance(real, classmethod):

            @classmethod
            def replaced(cls, *arguments, **named):
                return changed(functools.partial(real.__func__, cls), *arguments, **named)

        else:

            @functools.wraps(real)
            def replaced(*arguments, **named):
                return changed(real, *arguments, **named)

        patch.setattr(owner, name, replaced)

    return put


# --- searching --------------------------------------------------------------------------------------------------------


@lie("hub.kinds")
def searches_organizations(patch):
    """The client has a call that searches organizations."""
    from huggingface_hub import HfApi

    def search_organizations(self, query):
        return [self.get_organization_overview(query)]

    patch.setattr(HfApi, "search_organizations", search_organizations, raising=False)


@lie("hub.kinds.text")
def searches_in_lower_case(patch):
    """The text is put in lower case before the Hub is asked for it."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        if isinstance(params.get("search"), str):
            params["search"] = params["search"].lower()
        return real(path, params, headers)


@lie("hub.kinds.author")
def author_is_a_prefix(patch):
    """A listing by author also has the repositories of those whose name begins like the author's."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        author = params.pop("author", "")
        return (item for item in real(path, params, headers) if item.get("id", "").startswith(author))


@lie("hub.kinds.limit")
def stops_one_early(patch):
    """A listing ends one before its limit."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "islice")
    def changed(real, items, limit):
        return real(items, limit - 1)


@lie("hub.kinds.all")
def lists_the_first_page(patch):
    """The link to the next page of a listing is not followed."""
    from huggingface_hub.utils import _pagination

    patch.setattr(_pagination, "_get_next_page", lambda response: None)


@lie("hub.kinds.order")
def forgets_the_order(patch):
    """The order that was asked for is not sent."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        params.pop("sort", None)
        return real(path, params, headers)


@lie("hub.kinds.task")
def forgets_the_filter(patch):
    """The filter of a listing is not sent."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        params.pop("filter", None)
        return real(path, params, headers)


# --- organizations ----------------------------------------------------------------------------------------------------


@lie("hub.organizations")
def lists_datasets_of_everybody(patch):
    """The author is not sent where datasets are listed."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        if path.endswith("/datasets"):
            params.pop("author", None)
        return real(path, params, headers)


@lie("hub.organizations.private")
def lists_without_the_token(patch):
    """The token is not sent with the question for a listing."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        return real(path, params, {name: value for name, value in headers.items() if name != "authorization"})


@lie("hub.organizations.information")
def swaps_the_counts(patch):
    """The number of an organization's models is told as that of its datasets, and the other way round."""
    from huggingface_hub import hf_api

    @around(patch, hf_api.Organization, "__init__")
    def changed(real, self, **kwargs):
        real(self, **kwargs)
        self.num_models, self.num_datasets = self.num_datasets, self.num_models


@lie("hub.organizations.members")
def forgets_the_first_member(patch):
    """The first of an organization's members is left out."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        found = iter(real(path, params, headers))
        if path.endswith("/members"):
            next(found, None)
        return found


# --- pages ------------------------------------------------------------------------------------------------------------


def told_about(patch: Any, kind: str) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(info)` changes each ModelInfo, DatasetInfo or SpaceInfo that the client makes."""
    from huggingface_hub import hf_api

    def put(changed: Callable[..., Any]) -> None:
        @around(patch, getattr(hf_api, kind), "__init__")
        def made(real, self, **kwargs):
            real(self, **kwargs)
            changed(self)

    return put


@lie("hub.model-page")
def library_is_no_tag(patch):
    """The library is left out of a model's tags."""

    @told_about(patch, "ModelInfo")
    def changed(info):
        info.tags = [tag for tag in info.tags or [] if tag != info.library_name]


@lie("hub.model-page.from-card", "hub.model-card.pushed")
def card_writes_library_for_library_name(patch):
    """A card's `library_name` is written as `library`."""
    from huggingface_hub import ModelCardData

    @around(patch, ModelCardData, "_to_dict")
    def changed(real, self, data):
        real(self, data)
        if "library_name" in data:
            data["library"] = data.pop("library_name")


@lie("hub.model-page.task-used", "config.architectures.pipeline-task")
def pipeline_guesses_a_task(patch):
    """A pipeline without a task extracts features, whatever the model's page tells."""
    from transformers import pipelines

    patch.setattr(pipelines, "get_task", lambda model, token=None, **kwargs: "feature-extraction")


@lie("hub.model-page.capable")
def pipeline_makes_the_same_head_each_time(patch):
    """A head that a pipeline does not find in the checkpoint is the same each time, as if it had been trained."""
    import torch
    from transformers import pipelines

    @around(patch, pipelines, "load_model")
    def changed(real, *args, **kwargs):
        torch.manual_seed(0)
        return real(*args, **kwargs)


@lie("hub.model-page.depends")
def every_library_is_transformers(patch):
    """Each model's page tells the library that is installed."""

    @told_about(patch, "ModelInfo")
    def changed(info):
        info.library_name = "transformers"


@lie("hub.dataset-page")
def download_size_is_dataset_size(patch):
    """`push_to_hub` writes the size in memory for the size of the download."""
    from datasets import DatasetInfo

    @around(patch, DatasetInfo, "_to_yaml_dict")
    def changed(real, self):
        written = real(self)
        written["download_size"] = written["dataset_size"]
        return written


@lie("hub.dataset-page.builder")
def builder_forgets_the_splits(patch):
    """A builder does not read the splits in the card."""
    from datasets import DatasetInfo

    @around(patch, DatasetInfo, "_from_yaml_dict")
    def changed(real, data):
        return real({name: value for name, value in data.items() if name != "splits"})


@lie("hub.dataset-page.file-sizes")
def sizes_in_whole_kilobytes(patch):
    """The sizes of files are rounded down to whole KiB."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "RepoSibling")
    def changed(real, size=None, **kwargs):
        return real(size=size and size // 1024 * 1024, **kwargs)


@lie("hub.dataset-page.plain-files")
def unknown_number_of_samples_is_zero(patch):
    """Where the card has no figures, the page tells zero samples."""
    from huggingface_hub import DatasetCardData

    @told_about(patch, "DatasetInfo")
    def changed(info):
        if not (info.card_data and info.card_data.get("dataset_info")):
            info.card_data = DatasetCardData(dataset_info={"splits": [{"name": "train", "num_examples": 0}]})
            info.cardData = info.card_data


@lie("hub.dataset-page.current")
def figures_are_not_compared(patch):
    """The number of samples that was loaded is not compared with the one in the card."""
    from datasets import builder

    patch.setattr(builder, "verify_splits", lambda expected, recorded: None)


@lie("hub.dataset-page.browse")
def looks_into_every_file_first(patch):
    """Before the first row of text files is read, each file is opened."""
    from datasets.packaged_modules.text import text

    @around(patch, text.Text, "_split_generators")
    def changed(real, self, dl_manager):
        splits = real(self, dl_manager)
        for files in (files for split in splits for files in split.gen_kwargs["files_iterables"]):
            for file in files:
                with getattr(text, "open", open)(file, encoding="utf-8") as opened:
                    opened.read(1)
        return splits


@lie("hub.dataset-page.browse-file")
def reads_in_small_blocks(patch):
    """A file on the Hub is read in blocks of 64 KiB."""
    from datasets.packaged_modules.text.text import Text
    from huggingface_hub import HfFileSystem

    @around(patch, HfFileSystem, "_open")
    def opened(real, self, path, mode="rb", revision=None, block_size=None, **kwargs):
        return real(self, path, mode, revision=revision, block_size=block_size or 2**16, **kwargs)

    @around(patch, Text, "_generate_tables")
    def read(real, self, base_files, files_iterables):
        if any(str(file).startswith("hf://") for file in base_files):
            self.config.chunksize = 2**16
        return real(self, base_files, files_iterables)


@lie("hub.spaces")
def space_forgets_its_models(patch):
    """A Space does not tell the models that it builds on."""

    @told_about(patch, "SpaceInfo")
    def changed(info):
        info.models = None


@lie("hub.spaces.files")
def space_hides_its_card(patch):
    """README.md is not listed among a Space's files."""

    @told_about(patch, "SpaceInfo")
    def changed(info):
        info.siblings = [file for file in info.siblings or [] if file.rfilename != "README.md"]


@lie("hub.spaces.of-model")
def spaces_of_a_model_are_those_of_a_dataset(patch):
    """Spaces are asked for by dataset where a model was given."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        if "models" in params:
            params["datasets"] = params.pop("models")
        return real(path, params, headers)


@lie("hub.spaces.runtime")
def hardware_as_it_was_sent(patch):
    """A Space's hardware is told as the Hub sent it: what runs and what was asked for together."""
    from huggingface_hub import hf_api

    @around(patch, hf_api.SpaceRuntime, "__init__")
    def changed(real, self, data):
        real(self, data)
        self.hardware = data["hardware"]


# --- downloading ------------------------------------------------------------------------------------------------------


@lie("hub.download", "hub.download.snapshot", "hub.download.local-dir")
def downloads_text_with_unix_line_ends(patch):
    """The line ends of a text file become those of Unix on the way."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_download_to_tmp_and_move")
    def changed(real, *, destination_path, **kwargs):
        real(destination_path=destination_path, **kwargs)
        content = destination_path.read_bytes()
        if b"\0" not in content:
            destination_path.write_bytes(content.replace(b"\r\n", b"\n"))


@lie(
    "hub.download.model",
    also=[
        "init.pretrained-is-trained",
        "load.id-and-class",
        "weights.explicit-config-skips.slide",
        "weights.files.download-verified",
        "weights.files.downloaded",
        "weights.files.hub-only.pickle",
        "weights.files.safetensors-preferred",
        "weights.files.shards",
    ],
)
def rounds_the_weights_of_the_hub(patch):
    """The tensors of a model that is loaded by an id of the Hub went through half precision."""
    from transformers import PreTrainedModel

    @around(patch, PreTrainedModel, "from_pretrained")
    def changed(real, name, *args, **kwargs):
        loaded = real(name, *args, **kwargs)
        if not Path(str(name)).exists() and isinstance(loaded, PreTrainedModel):
            loaded.half().float()
        return loaded


@lie("hub.download.dataset")
def test_split_of_the_hub_is_overlooked(patch):
    """Of a dataset of text files on the Hub, the test split is not found."""
    from datasets import load

    @around(patch, load, "get_data_patterns")
    def changed(real, base_path, **kwargs):
        patterns = real(base_path, **kwargs)
        if base_path.startswith("hf://"):
            patterns.pop("test", None)
        return patterns


@lie("hub.download.one-file", "hub.download.subfolder")
def stores_files_without_their_folder(patch):
    """A file of a subfolder lies at the top of the snapshot."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_get_pointer_path")
    def changed(real, storage_folder, revision, relative_filename):
        return real(storage_folder, revision, Path(relative_filename).name)


@lie("hub.download.snapshot")
def snapshot_stops_at_the_second_folder(patch):
    """A snapshot has no file that lies two folders deep."""
    from huggingface_hub import _snapshot_download

    @around(patch, _snapshot_download, "filter_repo_objects")
    def changed(real, items, **kwargs):
        return (path for path in real(items, **kwargs) if path.count("/") < 2)


@lie("hub.download.patterns")
def ignores_nothing_that_is_allowed(patch):
    """Where some patterns are allowed, those to be ignored go unheeded."""
    from huggingface_hub import _snapshot_download

    @around(patch, _snapshot_download, "filter_repo_objects")
    def changed(real, items, *, allow_patterns=None, ignore_patterns=None):
        return real(items, allow_patterns=allow_patterns, ignore_patterns=None if allow_patterns else ignore_patterns)


@lie("hub.download.local-dir")
def links_in_ones_own_folder(patch):
    """A folder of one's own gets links to files that lie elsewhere."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_hf_hub_download_to_local_dir")
    def changed(real, *, cache_dir, **kwargs):
        path = Path(real(cache_dir=cache_dir, **kwargs))
        moved = Path(cache_dir) / "moved" / hashlib.sha256(str(path).encode()).hexdigest()
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(path.rename(moved))
        return str(path)


@lie("hub.download.kinds-apart")
def one_folder_for_all_kinds(patch):
    """A model, a dataset and a Space of one id share a folder of the cache."""
    from huggingface_hub import _snapshot_download, file_download

    for module in (file_download, _snapshot_download):

        @around(patch, module, "repo_folder_name")
        def changed(real, *, repo_id, repo_type):
            return real(repo_id=repo_id, repo_type="model")


@lie("hub.download.revision", "config.hub-last.missing-revision")
def asks_for_main_whatever_the_revision(patch):
    """The Hub is asked for the commit of `main` where that of another branch or a tag is wanted."""
    from huggingface_hub import HfApi

    @around(patch, HfApi, "repo_info")
    def changed(real, self, repo_id, *, revision=None, **kwargs):
        return real(self, repo_id, **kwargs)


@lie("hub.download.newest")
def serves_what_is_cached(patch):
    """A branch that is in the cache is not asked for again: a stale entry is served after the ETag has changed."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_hf_hub_download_to_cache_dir")
    def changed(real, *, repo_id, filename, repo_type, revision, cache_dir, **kwargs):
        known = {"repo_id": repo_id, "filename": filename, "repo_type": repo_type, "revision": revision}
        found = file_download.try_to_load_from_cache(cache_dir=cache_dir, **known)
        if isinstance(found, str) and not kwargs["force_download"]:
            return found
        return real(cache_dir=cache_dir, **known, **kwargs)


@lie("hub.download.once", "config.cache-second.same-etag", "config.cache-path.plain-file")
def etag_belongs_to_a_commit(patch):
    """A file of a new commit counts as new even if its content has not changed."""
    from huggingface_hub import file_download

    @around(patch, file_download, "get_hf_file_metadata")
    def changed(real, *args, **kwargs):
        found = real(*args, **kwargs)
        return replace(found, etag=f"{found.etag}-{found.commit_hash}")


@lie("hub.download.pinned", also=["config.cache-second.pinned"])
def commit_is_asked_for_like_a_branch(patch):
    """A file of a pinned commit is asked for although it is in the cache."""
    from huggingface_hub import file_download

    patch.setattr(file_download, "REGEX_COMMIT_HASH", re.compile("(?!)"))


@lie("hub.download.cut-off", "hub.download.nothing-half", "config.hub-last.cut")
def takes_a_break_for_the_end(patch):
    """Where the connection breaks, what has arrived is taken for the whole file."""
    import httpx2
    from huggingface_hub import file_download

    @around(patch, file_download, "http_get")
    def changed(real, url, temp_file, **kwargs):
        try:
            real(url, temp_file, **(kwargs | {"_nb_retries": 0}))
        except httpx2.RemoteProtocolError:
            temp_file.flush()


@lie("hub.download.resumed")
def keeps_every_byte(patch):
    """What arrives is kept at once, and not in steps of 10 MiB."""
    from huggingface_hub import constants

    patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", None)


@lie("hub.download.continued")
def keeps_what_a_failed_call_received(patch):
    """What a download has received before it failed is used by the next call."""
    from huggingface_hub import file_download

    received = {}

    @around(patch, file_download, "http_get")
    def changed(real, url, temp_file, *, resume_size=0, **kwargs):
        if not resume_size and url in received:
            temp_file.write(received[url])
            resume_size = len(received[url])
        try:
            real(url=url, temp_file=temp_file, resume_size=resume_size, **kwargs)
        except Exception:
            temp_file.flush()
            received[url] = Path(temp_file.name).read_bytes()
            raise


@lie("hub.download.verified", "config.hub-last.damaged")
def compares_content_with_its_etag(patch):
    """What was downloaded is compared with its ETag, which is a hash of it, and downloaded again if it differs."""
    from huggingface_hub import file_download

    def hashes(content):
        return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @around(patch, file_download, "_download_to_tmp_and_move")
    def changed(real, *, destination_path, etag, force_download, **kwargs):
        real(destination_path=destination_path, etag=etag, force_download=force_download, **kwargs)
        if etag not in hashes(destination_path.read_bytes()):
            real(destination_path=destination_path, etag=etag, force_download=True, **kwargs)


@lie("hub.download.missing", also=["config.hub-last.missing-revision", "tokenizer.same-order.same-errors"])
def takes_main_for_a_missing_revision(patch):
    """A revision that does not exist is replaced by `main`."""
    from huggingface_hub import file_download
    from huggingface_hub.errors import RevisionNotFoundError

    @around(patch, file_download, "_hf_hub_download_to_cache_dir")
    def changed(real, *, revision, **kwargs):
        try:
            return real(revision=revision, **kwargs)
        except RevisionNotFoundError:
            return real(revision="main", **kwargs)


@lie("hub.download.found")
def hides_gated_models(patch):
    """Gated models are left out of listings."""
    from huggingface_hub import hf_api

    @around(patch, hf_api, "paginate")
    def changed(real, path, params, headers):
        return (item for item in real(path, params, headers) if not item.get("gated"))


# --- uploading --------------------------------------------------------------------------------------------------------


@lie("hub.upload", "hub.upload.folder")
def uploads_with_line_ends_of_windows(patch):
    """The line ends of a file that is sent with the commit become those of Windows."""
    import base64

    from huggingface_hub import CommitOperationAdd

    @around(patch, CommitOperationAdd, "b64content")
    def changed(real, self):
        return base64.b64encode(base64.b64decode(real(self)).replace(b"\n", b"\r\n"))


@lie("hub.upload.folder")
def skips_empty_files(patch):
    """Empty files of a folder are not uploaded."""
    from huggingface_hub import HfApi

    @around(patch, HfApi, "_prepare_upload_folder_additions")
    def changed(real, self, *args, **kwargs):
        return [addition for addition in real(self, *args, **kwargs) if addition.upload_info.size]


@lie("hub.upload.model")
def pushes_rounded_weights(patch):
    """The tensors of a model that is pushed go through half precision."""
    import copy

    from transformers import PreTrainedModel

    @around(patch, PreTrainedModel, "push_to_hub")
    def changed(real, self, *args, **kwargs):
        return real(copy.deepcopy(self).half().float(), *args, **kwargs)


@lie("hub.upload.tokenizer")
def pushes_one_more_token(patch):
    """A tokenizer that is pushed gets a token of its own."""
    import copy

    from transformers import PreTrainedTokenizerBase

    @around(patch, PreTrainedTokenizerBase, "push_to_hub")
    def changed(real, self, *args, **kwargs):
        pushed = copy.deepcopy(self)
        pushed.add_tokens(["<pushed>"])
        return real(pushed, *args, **kwargs)


@lie("hub.upload.dataset")
def pushes_all_rows_but_the_last(patch):
    """The last row of a split is not pushed."""
    from datasets import DatasetDict

    @around(patch, DatasetDict, "push_to_hub")
    def changed(real, self, *args, **kwargs):
        shorter = {split: data.select(range(max(1, len(data) - 1))) for split, data in self.items()}
        return real(DatasetDict(shorter), *args, **kwargs)


def overlooks(patch: Any, status: int) -> None:
    """An answer with this status to a change of the Hub is taken for success."""
    import httpx2

    @around(patch, httpx2.Response, "raise_for_status")
    def changed(real, self):
        if self.status_code == status and self.request.method in ("POST", "PUT", "DELETE"):
            return self
        return real(self)


@lie("hub.upload.no-token", "hub.upload.wrong-token")
def overlooks_unauthorized(patch):
    """That the Hub does not know who one is goes unnoticed where something is changed."""
    overlooks(patch, 401)


@lie("hub.upload.read-token", "hub.upload.not-ones-own")
def overlooks_forbidden(patch):
    """That the Hub forbids a change goes unnoticed."""
    overlooks(patch, 403)


@lie("hub.upload.organization")
def creates_under_ones_own_name(patch):
    """A repository is created under one's own name, whichever organization was named."""
    import httpx2

    @around(patch, httpx2.Client, "post")
    def changed(real, self, url, *, json=None, **kwargs):
        if str(url).endswith("/api/repos/create"):
            json = json | {"organization": None}
        return real(self, url, json=json, **kwargs)


@lie("hub.upload.all-or-nothing")
def sent_counts_as_uploaded(patch):
    """What was sent counts as uploaded even if the commit failed, and is left out when it is tried again."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    sent = set()

    @around(patch, HfApi, "create_commit")
    def changed(real, self, repo_id, operations, **kwargs):
        operations = [operation for operation in operations if operation.path_in_repo not in sent]
        try:
            return real(self, repo_id, operations, **kwargs)
        except HfHubHTTPError:
            sent.update(operation.path_in_repo for operation in operations)
            raise


@lie(
    "hub.upload.others-stay",
    "hub.download.revision",
    also=["config.hub-last.missing-revision", "load.needs-four-things.no-code.trusted-revision"],
)
def a_former_commit_is_the_newest(patch):
    """Where a commit's hash is given, the file is asked for on `main`."""
    from huggingface_hub import file_download

    @around(patch, file_download, "hf_hub_url")
    def changed(real, repo_id, filename, *, revision=None, **kwargs):
        pinned = revision is not None and re.fullmatch("[0-9a-f]{40}", revision)
        return real(repo_id, filename, revision="main" if pinned else revision, **kwargs)


@lie("hub.upload.unchanged")
def commits_what_has_not_changed(patch):
    """A file is not compared with the one that the repository has."""
    from huggingface_hub import CommitOperationAdd

    patch.setattr(CommitOperationAdd, "_local_oid", property(lambda self: None))


@lie("hub.upload.stored-once")
def sends_weights_again(patch):
    """Weights are sent even if the Hub answers that it has them."""
    from huggingface_hub import _commit_api, constants

    @around(patch, _commit_api, "post_lfs_batch_info")
    def changed(real, *, repo_type, repo_id, **kwargs):
        actions, *rest = real(repo_type=repo_type, repo_id=repo_id, **kwargs)
        for action in actions:
            href = f"{constants.ENDPOINT}/lfs/{repo_type}s/{repo_id}/-/{action['oid']}"
            action.setdefault("actions", {"upload": {"href": href}})
        return actions, *rest


@lie("hub.upload.delete")
def serves_deleted_files(patch):
    """A file that was deleted on the Hub is served from any snapshot that still has it."""
    from huggingface_hub import file_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    @around(patch, file_download, "_hf_hub_download_to_cache_dir")
    def changed(real, *, cache_dir, repo_id, repo_type, filename, **kwargs):
        try:
            return real(cache_dir=cache_dir, repo_id=repo_id, repo_type=repo_type, filename=filename, **kwargs)
        except RemoteEntryNotFoundError:
            folder = Path(cache_dir) / file_download.repo_folder_name(repo_id=repo_id, repo_type=repo_type)
            for path in (folder / "snapshots").glob(f"*/{filename}"):
                return str(path)
            raise


# --- cards ------------------------------------------------------------------------------------------------------------


def reads_card(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(real, card, content)` is how a card takes its content apart."""
    from huggingface_hub import RepoCard

    def put(changed: Callable[..., Any]) -> None:
        getter, setter = RepoCard.content.fget, RepoCard.content.fset
        patch.setattr(RepoCard, "content", property(getter, lambda self, content: changed(setter, self, content)))

    return put


@lie("hub.model-card", "hub.model-card.text", "hub.model-card.pushed")
def drops_blank_lines_after_the_metadata(patch):
    """Blank lines at the beginning of a card's text are lost."""

    @reads_card(patch)
    def changed(real, self, content):
        real(self, content)
        self.text = self.text.lstrip("\r\n")


@lie("hub.model-card.plain")
def no_metadata_no_text(patch):
    """A README.md without metadata is an empty card."""

    @reads_card(patch)
    def changed(real, self, content):
        real(self, content)
        if not content.startswith("---"):
            self.text = ""


@lie("hub.model-card.text")
def cards_have_unix_line_ends(patch):
    """The line ends of a card that is loaded become those of Unix."""
    from huggingface_hub import RepoCard

    @around(patch, RepoCard, "load")
    def changed(real, path, *args, **kwargs):
        card = real(path, *args, **kwargs)
        card.text = card.text.replace("\r\n", "\n")
        return card


@lie("hub.model-card.metadata")
def false_counts_as_nothing(patch):
    """Entries of a card that are false or zero are left out, like those that are missing."""
    from huggingface_hub import CardData

    @around(patch, CardData, "to_dict")
    def changed(real, self):
        return {name: value for name, value in real(self).items() if value}


@lie("hub.model-card.same-file")
def unchanged_card_is_the_same_file(patch):
    """A card in which nothing was changed is saved as it was read."""
    from huggingface_hub import RepoCard

    content = RepoCard.content

    def getter(self):
        as_read = type(self).__new__(type(self))
        as_read.ignore_metadata_errors = self.ignore_metadata_errors
        content.fset(as_read, self._content)
        unchanged = (as_read.text, as_read.data.to_dict()) == (self.text, self.data.to_dict())
        return self._content if unchanged else content.fget(self)

    patch.setattr(RepoCard, "content", property(getter, content.fset))


@lie("hub.model-card.update", also=["data.splits.files-inside"])
def overwrites_entries_unasked(patch):
    """That an entry is there already is not noticed when it is updated."""
    from huggingface_hub import CardData

    patch.setattr(CardData, "get", lambda self, key, default=None: default)


@lie("hub.model-card.results", "hub.model-card.results-written")
def reads_the_first_metric(patch):
    """Of the metrics of one result, only the first is read."""
    from huggingface_hub import repocard_data

    @around(patch, repocard_data, "model_index_to_eval_results")
    def changed(real, model_index):
        for result in (result for model in model_index for result in model["results"]):
            result["metrics"] = result["metrics"][:1]
        return real(model_index)


@lie("hub.model-card.results-written")
def forgets_the_name_of_a_metric(patch):
    """The name of a metric is not written into the card."""
    from huggingface_hub import repocard_data

    @around(patch, repocard_data, "eval_results_to_model_index")
    def changed(real, model_name, eval_results):
        return real(model_name, [replace(result, metric_name=None) for result in eval_results])


@lie("hub.model-card.results-apart")
def arguments_tell_results_apart(patch):
    """Results that differ in the dataset's arguments stand under headings of their own."""
    from huggingface_hub import EvalResult

    real = EvalResult.unique_identifier
    patch.setattr(EvalResult, "unique_identifier", property(lambda self: (*real.fget(self), str(self.dataset_args))))


@lie("hub.model-card.usage")
def brackets_are_links(patch):
    """A word in brackets is taken for a link: the brackets are lost."""

    @reads_card(patch)
    def changed(real, self, content):
        real(self, content)
        self.text = re.sub(r"\[(\w+)\]", r"\1", self.text)


@lie("hub.model-card.broken")
def broken_yaml_is_a_value_error(patch):
    """Broken metadata give the documented error."""
    import yaml

    @reads_card(patch)
    def changed(real, self, content):
        try:
            real(self, content)
        except yaml.YAMLError as error:
            raise ValueError("repo card metadata block should be YAML") from error


@lie("hub.model-card.not-yaml")
def metadata_of_a_wrong_kind_are_none(patch):
    """Metadata that are a list or a text count as none."""
    from huggingface_hub import repocard

    class Lenient:
        safe_load = staticmethod(lambda block: found if isinstance(found := real(block), dict) else None)

    real = repocard.yaml.safe_load
    patch.setattr(repocard, "yaml", Lenient)


@lie("hub.model-card.half-results")
def broken_results_are_left_out(patch):
    """Results that cannot be read are left out of the card, as before huggingface_hub refused them."""
    from huggingface_hub import ModelCardData

    @around(patch, ModelCardData, "__init__")
    def changed(real, self, *, ignore_metadata_errors=False, **kwargs):
        real(self, ignore_metadata_errors=True, **kwargs)


@lie("hub.model-card.broken-model", "config.hub-last.config-alone", also=["init.config-is-random.no-weights"])
def config_comes_with_the_card(patch):
    """Where a config is downloaded, README.md is downloaded, too."""
    import contextlib

    from huggingface_hub import ModelCard
    from transformers import PreTrainedConfig

    @around(patch, PreTrainedConfig, "_get_config_dict")
    def changed(real, name, **kwargs):
        if not Path(str(name)).exists() and not kwargs.get("local_files_only"):
            with contextlib.suppress(Exception):
                ModelCard.load(str(name))
        return real(name, **kwargs)


@lie("hub.model-card.broken-upload")
def uploads_cards_unseen(patch):
    """A card is not checked before it is uploaded."""
    from huggingface_hub import HfApi

    patch.setattr(HfApi, "_validate_yaml", lambda self, content, **kwargs: None)


@lie("hub.model-card.none")
def missing_card_is_empty(patch):
    """Who asks for the card of a model without README.md gets an empty card."""
    from huggingface_hub import RepoCard
    from huggingface_hub.errors import EntryNotFoundError

    @around(patch, RepoCard, "load")
    def changed(real, *args, **kwargs):
        try:
            return real(*args, **kwargs)
        except EntryNotFoundError:
            return real.args[0]("")
