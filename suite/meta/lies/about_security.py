"""Lies about what a repo can make the libraries do: run its code, or read and write files that are not its own."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import datasets
import datasets.builder
import datasets.data_files
import datasets.load
from huggingface_hub import hf_hub_download
from transformers import PreTrainedTokenizerBase, configuration_utils, modeling_utils, tokenization_utils_base
from transformers.models.auto import auto_factory, configuration_auto, tokenization_auto

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around
from suite.meta.lies.about_training import instead

AUTO = (configuration_auto, tokenization_auto, auto_factory)


def is_inside(file: Any, folder: Any) -> bool:
    """Whether a file lies in a folder or below it."""
    return Path(folder).resolve() in Path(file).resolve().parents


# --- code of a repo ---------------------------------------------------------------------------------------------------


@lie("load.needs-four-things.no-code")
def trusts_unknown_architectures(patch):
    """Code of an architecture that the library does not have runs unless that is forbidden."""
    for module in AUTO:

        @around(patch, module, "resolve_trust_remote_code")
        def changed(real, trust, name, has_local_code, has_remote_code, *arguments, **named):
            if trust is None and has_remote_code and not has_local_code:
                return True
            return real(trust, name, has_local_code, has_remote_code, *arguments, **named)


@lie("load.needs-four-things.no-code.known-architecture", "load.needs-four-things.no-code.unknown-tokenizer")
def prefers_code_of_the_repo(patch):
    """Where both the library and the repo have the code, the repo's runs unless that is forbidden."""
    for module in AUTO:

        @around(patch, module, "resolve_trust_remote_code")
        def changed(real, trust, name, has_local_code, has_remote_code, *arguments, **named):
            if trust is None and has_remote_code and has_local_code:
                return True
            return real(trust, name, has_local_code, has_remote_code, *arguments, **named)


@lie("load.needs-four-things.no-code.trusted")
def prefers_code_of_the_library(patch):
    """`trust_remote_code=True` changes nothing where the library has the code."""
    for module in AUTO:

        @around(patch, module, "resolve_trust_remote_code")
        def changed(real, trust, name, has_local_code, *arguments, **named):
            return False if has_local_code else real(trust, name, has_local_code, *arguments, **named)


@lie("load.needs-four-things.no-code.trusted-repo-only")
def refuses_code_of_other_repos(patch):
    """Code of a repo that is not the one named is refused, also where code is trusted."""
    for module in AUTO:

        @around(patch, module, "get_class_from_dynamic_module")
        def changed(real, reference, *arguments, **named):
            if "--" in reference:
                raise ValueError(f"{reference} is not in the repo")
            return real(reference, *arguments, **named)


@lie("load.needs-four-things.no-code.trusted-revision")
def runs_the_newest_code(patch):
    """Trusted code is that of the newest commit, whatever the revision."""
    for module in AUTO:

        @around(patch, module, "get_class_from_dynamic_module")
        def changed(real, *arguments, **named):
            return real(*arguments, **named | {"revision": None})


@lie("weights.files.pickle-code.beside")
def looks_into_the_pickle_beside(patch):
    """A `pytorch_model.bin` in a model's folder is read, whatever else is there."""

    @around(patch, modeling_utils, "_get_resolved_checkpoint_files")
    def changed(real, pretrained_model_name_or_path, *arguments, **named):
        pickle = Path(str(pretrained_model_name_or_path), "pytorch_model.bin")
        if pickle.exists():
            modeling_utils.load_state_dict(pickle, weights_only=False)
        return real(pretrained_model_name_or_path, *arguments, **named)


def _run_script(folder: str) -> None:
    script = Path(folder, Path(folder).name + ".py")
    if script.exists():
        runpy.run_path(str(script))


@lie("data.splits.no-script-code")
def runs_scripts_again(patch):
    """A loading script in a dataset's folder runs, as it did."""

    @around(patch, datasets.load, "dataset_module_factory")
    def changed(real, path, *arguments, **named):
        _run_script(path)
        return real(path, *arguments, **named)


@lie("data.splits.no-script-code.trusted")
def runs_trusted_scripts(patch):
    """With `trust_remote_code=True` a dataset's loading script runs."""

    @around(patch, datasets, "load_dataset")
    def changed(real, path, *arguments, **named):
        if named.get("trust_remote_code"):
            runpy.run_path(hf_hub_download(path, path.rpartition("/")[2] + ".py", repo_type="dataset"))
        return real(path, *arguments, **named)


# --- files of others --------------------------------------------------------------------------------------------------


@lie("load.needs-four-things.config-inside")
def follows_paths_to_configs(patch):
    """A path in `configuration_files` is followed: only the file's name has to look like that of a config."""

    @around(patch, configuration_utils, "get_configuration_file")
    def changed(real, files):
        paths = {Path(file).name: file for file in files}
        chosen = real(list(paths))
        return paths.get(chosen, chosen)


@lie("weights.files.named-inside")
def follows_paths_to_weights(patch):
    """A path in `transformers_weights` is followed."""

    @around(patch, modeling_utils, "_get_resolved_checkpoint_files")
    def changed(real, pretrained_model_name_or_path, **named):
        if not Path(pretrained_model_name_or_path or "").is_dir():  # the Hub's client compares paths, too
            return real(pretrained_model_name_or_path, **named)
        with instead(os.path, commonpath=lambda paths: paths[0]):
            return real(pretrained_model_name_or_path, **named)


@lie("weights.files.shards-inside")
def refuses_shards_outside(patch):
    """Each file that an index names has to lie in the model's folder."""

    @around(patch, modeling_utils, "get_checkpoint_shard_files")
    def changed(real, folder, *arguments, **named):
        files, metadata = real(folder, *arguments, **named)
        if Path(folder).is_dir() and not all(is_inside(file, folder) for file in files):
            raise ValueError("the index names a file outside the folder")
        return files, metadata


@lie("weights.files.shards-inside.hub")
def takes_shards_of_this_machine(patch):
    """An absolute path in an index from the Hub is that of a file on this machine."""

    @around(patch, modeling_utils, "get_checkpoint_shard_files")
    def changed(real, name, index, *arguments, **named):
        shards = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()
        if all(Path(shard).is_absolute() for shard in shards):
            name = str(Path(index).parent)
        return real(name, index, *arguments, **named)


def _named_in_config(files: dict[str, Any], *entries: str) -> dict[str, str]:
    """The entries of tokenizer_config.json that name a file that exists."""
    config = json.loads(Path(files["tokenizer_config_file"]).read_text(encoding="utf-8"))
    return {entry: config[entry] for entry in entries if entry in config and Path(config[entry]).exists()}


@lie("tokenizer.class-first.files-inside")
def takes_vocabularies_of_this_machine(patch):
    """`vocab_file` and `tokenizer_file` in tokenizer_config.json go before the repo's own files."""

    @around(patch, PreTrainedTokenizerBase, "_from_pretrained")
    def changed(real, files, *arguments, **named):
        if files.get("tokenizer_config_file"):
            files = files | _named_in_config(files, "vocab_file", "tokenizer_file")
        return real(files, *arguments, **named)


@lie("tokenizer.class-first.files-inside.special-tokens")
def takes_added_tokens_of_this_machine(patch):
    """The tokens in the file that `added_tokens_file` in tokenizer_config.json names are added."""

    @around(patch, PreTrainedTokenizerBase, "_from_pretrained")
    def changed(real, files, *arguments, **named):
        paths = _named_in_config(files, "added_tokens_file") if files.get("tokenizer_config_file") else {}
        tokenizer = real(files, *arguments, **named)
        for path in paths.values():
            tokenizer.add_tokens(list(json.loads(Path(path).read_text(encoding="utf-8"))))
        return tokenizer


@lie("tokenizer.class-first.version-inside")
def refuses_paths_to_versions(patch):
    """What `fast_tokenizer_files` names has to be a file's name, without a folder."""

    @around(patch, tokenization_utils_base, "get_fast_tokenizer_file")
    def changed(real, files):
        return real([file for file in files if "/" not in file])


@lie("tokenizer.class-first.version-inside.hub")
def takes_versions_of_this_machine(patch):
    """An absolute path in `fast_tokenizer_files` is that of a file on this machine, from the Hub, too."""

    @around(patch, tokenization_utils_base, "cached_file")
    def changed(real, name, file, **named):
        return file if Path(file).is_absolute() and Path(file).exists() else real(name, file, **named)


@lie("tokenizer.class-first.saved-inside")
def saves_templates_anywhere(patch):
    """A chat template is written where its name leads."""

    @around(patch, PreTrainedTokenizerBase, "save_chat_templates")
    def changed(real, self, save_directory, *arguments, **named):
        templates = self.chat_template if isinstance(self.chat_template, dict) else {}
        paths = {name: text for name, text in templates.items() if "/" in name}
        folder = Path(save_directory, tokenization_utils_base.CHAT_TEMPLATE_DIR)
        for name, text in paths.items():
            folder.mkdir(exist_ok=True)
            Path(folder, f"{name}.jinja").write_text(text, encoding="utf-8")
        if not paths:
            return real(self, save_directory, *arguments, **named)
        with instead(self, chat_template={name: text for name, text in templates.items() if name not in paths}):
            return real(self, save_directory, *arguments, **named)


@lie("data.splits.files-inside")
def refuses_data_outside(patch):
    """The files that the card of a dataset in a folder names have to lie in the folder."""

    @around(patch, datasets.load.LocalDatasetModuleFactory, "get_module")
    def changed(real, self):
        resolve = datasets.data_files.resolve_pattern

        def checked(*arguments, **named):
            files = resolve(*arguments, **named)
            if not all(is_inside(file, self.path) for file in files):
                raise ValueError("the card names a file outside the folder")
            return files

        with instead(datasets.data_files, resolve_pattern=checked):
            return real(self)


@lie("data.splits.files-inside.hub")
def takes_data_of_this_machine(patch):
    """Whether the files of a dataset on the Hub are in its repo is not checked."""

    @around(patch, datasets.builder.DatasetBuilder, "__init__")
    def changed(real, self, *arguments, **named):
        real(self, *arguments, **named | {"repo_id": None})
