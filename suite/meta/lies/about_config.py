"""Lies about slides 18 to 21: where a config comes from, what completes it, and what its entries decide."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around


def loads(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(real, name, **kwargs)` is `AutoConfig.from_pretrained`."""
    from transformers import AutoConfig

    return around(patch, AutoConfig, "from_pretrained")


def looks_up(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(real, name, filename, **kwargs)` finds a config's file, wherever it is."""
    from transformers import configuration_utils

    return around(patch, configuration_utils, "cached_file")


def ask(name: object) -> Any:
    """Ask the Hub about a model; return its answer."""
    from huggingface_hub import constants, get_session

    return get_session().get(f"{constants.ENDPOINT}/api/models/{name}")


def is_down(name: object) -> bool:
    """Whether the Hub cannot be reached, or only answers with errors of its own."""
    import httpx2

    try:
        return ask(name).status_code in (429, 500, 503)
    except httpx2.TransportError:
        return True


# --- first a local path -----------------------------------------------------------------------------------------------


@lie("config.local-first", "config.local-first.file", "config.local-first.symlink")
def asks_the_hub_about_local_paths(patch):
    """A request is sent for a local folder or file before it is read."""

    @loads(patch)
    def changed(real, name, **kwargs):
        if Path(name).exists():
            ask(name)
        return real(name, **kwargs)


@lie("config.local-first.shadow", "config.local-first.no-config")
def cache_goes_before_folder(patch):
    """A local folder is read after the cache: what is cached of a Hub id of that name goes first."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    @looks_up(patch)
    def changed(real, name, filename, **kwargs):
        with contextlib.suppress(HFValidationError):
            if isinstance(found := try_to_load_from_cache(os.path.normpath(name), filename), str):
                return found
        return real(name, filename, **kwargs)


@lie("config.local-first.no-config", "config.model-type.missing")
def guesses_a_type_from_the_name(patch):
    """Where no type is said, one whose name is found in the path is taken, with all defaults."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    @loads(patch)
    def changed(real, name, **kwargs):
        try:
            return real(name, **kwargs)
        except ValueError:
            for model_type in sorted(CONFIG_MAPPING, key=len, reverse=True):
                if model_type in str(name):
                    return CONFIG_MAPPING[model_type]()
            raise


@lie(
    "config.local-first.no-config-named-class",
    "config.hub-last.missing-file-named-class",
    also=["hub.upload.tokenizer"],
)
def named_class_needs_a_file(patch):
    """Without a config.json there is an error, whoever asks for it."""
    from transformers import PreTrainedConfig

    @around(patch, PreTrainedConfig, "get_config_dict")
    def changed(real, name, **kwargs):
        found, unused = real(name, **kwargs)
        if not found:
            raise OSError(f"{name} has no file named config.json")
        return found, unused


@lie("config.local-first.file")
def warns_of_a_path_to_a_file(patch):
    """The path to a file is read, with a warning that this will not work much longer."""

    @loads(patch)
    def changed(real, name, **kwargs):
        if Path(name).is_file():
            warnings.warn("Give the folder, not the file.", FutureWarning, stacklevel=2)
        return real(name, **kwargs)


@lie("config.local-first.broken")
def skips_a_byte_order_mark(patch):
    """A JSON file that begins with a byte order mark is read like any other."""
    from transformers import PreTrainedConfig

    @around(patch, PreTrainedConfig, "_dict_from_json_file")
    def changed(real, path):
        if Path(path).read_bytes().startswith(b"\xef\xbb\xbf"):
            return json.loads(Path(path).read_text(encoding="utf-8-sig"))
        return real(path)


@lie("config.local-first.null")
def refuses_what_is_no_dictionary(patch):
    """JSON that is no dictionary is an error that names the file."""
    from transformers import PreTrainedConfig

    @around(patch, PreTrainedConfig, "_dict_from_json_file")
    def changed(real, path):
        found = real(path)
        if not isinstance(found, dict):
            raise OSError(f"{path} holds no dictionary")
        return found


@lie("config.local-first.absent")
def asks_the_hub_about_any_path(patch):
    """A path that does not exist is asked of the Hub even where it cannot be an id."""

    @loads(patch)
    def changed(real, name, **kwargs):
        if not Path(name).exists():
            ask(str(name).strip("/"))
        return real(name, **kwargs)


@lie("config.local-first.tilde")
def expands_a_tilde(patch):
    """A tilde stands for the home folder."""

    @loads(patch)
    def changed(real, name, **kwargs):
        return real(Path(name).expanduser() if str(name).startswith("~") else name, **kwargs)


# --- then the cache ---------------------------------------------------------------------------------------------------


@lie(
    "config.cache-second",
    "config.cache-second.changed",
    "config.cache-second.tag",
    "config.cache-second.file-gone",
    "config.cache-second.gated-changed",
    also=["hub.upload.model", "hub.upload.tokenizer"],
)
def trusts_the_cached_commit(patch):
    """The Hub is not asked which commit is current where the cache knows one: what is stale is served."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    @around(patch, HfApi, "resolve_revision")
    def changed(real, self, repo_id, **kwargs):
        try:
            return real(self, repo_id, **(kwargs | {"local_files_only": True}))
        except RevisionResolutionError:
            return real(self, repo_id, **kwargs)


@lie("config.cache-second.no-download", "config.cache-second.same-etag")
def downloads_each_time(patch):
    """A config is downloaded anew each time."""

    @looks_up(patch)
    def changed(real, name, filename, *, local_files_only, **kwargs):
        return real(
            name,
            filename,
            local_files_only=local_files_only,
            **(kwargs | {"force_download": not local_files_only}),
        )


@lie("config.cache-second.local-files-only")
def forgets_local_files_only(patch):
    """`local_files_only` goes unheeded."""

    @loads(patch)
    def changed(real, name, **kwargs):
        return real(name, **(kwargs | {"local_files_only": False}))


@lie("config.cache-second.offline", "config.cache-second.transformers-offline")
def ignores_the_offline_switch(patch):
    """The offline switch, by either name, is not read."""
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_OFFLINE", False)


@lie("config.cache-second.transformers-offline")
def ignores_the_older_offline_switch(patch):
    """TRANSFORMERS_OFFLINE is not read."""
    from huggingface_hub import constants

    if "HF_HUB_OFFLINE" not in os.environ:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)


@lie("config.cache-second.unreachable", "config.cache-second.failing")
def needs_the_hub(patch):
    """A warm cache is not used when the Hub is down."""

    @looks_up(patch)
    def changed(real, name, filename, **kwargs):
        if not Path(name).exists() and not kwargs["local_files_only"] and is_down(name):
            raise OSError(f"{name} cannot be loaded: the Hub is down")
        return real(name, filename, **kwargs)


@lie("config.cache-second.unreachable", "config.cache-second.failing", "config.hub-last.unreachable")
def makes_up_a_config_when_the_hub_is_down(patch):
    """When the Hub is down, a config has its class's defaults."""
    from transformers import BertConfig

    @loads(patch)
    def changed(real, name, **kwargs):
        if not Path(name).exists() and not kwargs.get("local_files_only") and is_down(name):
            return BertConfig()
        return real(name, **kwargs)


@lie("config.cache-second.pinned")
def asks_about_a_pinned_commit(patch):
    """The Hub is asked for the commit even where a commit's hash was given."""

    @looks_up(patch)
    def changed(real, name, filename, *, revision, **kwargs):
        if len(revision or "") == 40:
            ask(f"{name}/revision/{revision}")
        return real(name, filename, revision=revision, **kwargs)


@lie("config.cache-second.gone", "config.cache-second.gated")
def cache_is_for_those_let_in(patch):
    """The cached copy is only used by whom the Hub would send the file today."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RepositoryNotFoundError

    @looks_up(patch)
    def changed(real, name, filename, *, token, local_files_only, **kwargs):
        if not Path(name).exists() and not local_files_only:
            try:
                get_hf_file_metadata(hf_hub_url(name, filename), token=token)
            except RepositoryNotFoundError as error:
                raise OSError(f"{name} is not on the Hub for you") from error
            except (OSError, ValueError):
                pass  # whoever cannot be asked keeps nobody out
        return real(name, filename, token=token, local_files_only=local_files_only, **kwargs)


# --- where the cache is -----------------------------------------------------------------------------------------------


def put_cache(patch: Any, *variables: str, default: Path | None = None) -> None:
    """The client's cache is what the first of these variables says that is set, else `default`, else where it was."""
    from huggingface_hub import constants

    said = [os.environ[name] for name in variables if os.environ.get(name)]
    if said or default:
        patch.setattr(constants, "HF_HUB_CACHE", said[0] if said else str(default))


@lie("config.cache-path")
def cache_is_elsewhere_by_default(patch):
    """Where no variable says otherwise, the cache is `~/.cache/hf`."""
    if "HF_HOME" not in os.environ and "XDG_CACHE_HOME" not in os.environ:
        put_cache(patch, "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", default=Path.home() / ".cache" / "hf" / "hub")


@lie("config.cache-path.hf-hub-cache")
def ignores_hf_hub_cache(patch):
    """HF_HUB_CACHE is not read."""
    put_cache(patch, "HUGGINGFACE_HUB_CACHE")


@lie("config.cache-path.variables")
def ignores_huggingface_hub_cache(patch):
    """HUGGINGFACE_HUB_CACHE is not read."""
    from huggingface_hub import constants

    put_cache(patch, "HF_HUB_CACHE", default=Path(constants.HF_HOME) / "hub")


@lie("config.cache-path.transformers-cache")
def reads_transformers_cache(patch):
    """TRANSFORMERS_CACHE goes before the other variables."""
    put_cache(patch, "TRANSFORMERS_CACHE")


@lie("config.cache-path.folder")
def owner_is_never_missing(patch):
    """An id without an owner is stored under one."""
    from huggingface_hub import _snapshot_download, file_download

    for module in (file_download, _snapshot_download):

        @around(patch, module, "repo_folder_name")
        def changed(real, *, repo_id, repo_type):
            return real(repo_id=repo_id if "/" in repo_id else f"library/{repo_id}", repo_type=repo_type)


@lie("config.cache-path.plain-file", also=["hub.download.once", "hub.download.verified"])
def stores_files_instead_of_links(patch):
    """A snapshot has the files themselves."""
    from huggingface_hub import file_download

    patch.setattr(file_download, "are_symlinks_supported", lambda cache_dir=None: False)


@lie("config.cache-path.client")
def configs_have_a_cache_of_their_own(patch):
    """Configs are not stored in the cache of the Hub client."""
    from huggingface_hub import constants

    own = str(Path(constants.HF_HOME) / "configs")

    @looks_up(patch)
    def changed(real, name, filename, *, cache_dir, **kwargs):
        return real(name, filename, cache_dir=cache_dir or own, **kwargs)


@lie("config.cache-path.argument")
def forgets_cache_dir(patch):
    """`cache_dir` goes unheeded."""

    @looks_up(patch)
    def changed(real, name, filename, *, cache_dir, **kwargs):
        return real(name, filename, cache_dir=None, **kwargs)


# --- last the Hub -----------------------------------------------------------------------------------------------------


@lie("config.hub-last", "config.cache-path.folder")
def stores_json_in_its_own_style(patch):
    """A JSON file is written anew before it is stored."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_download_to_tmp_and_move")
    def changed(real, *, destination_path, filename, **kwargs):
        real(destination_path=destination_path, filename=filename, **kwargs)
        if filename.endswith("config.json"):
            with contextlib.suppress(ValueError):
                destination_path.write_text(json.dumps(json.loads(destination_path.read_bytes()), indent=1))


@lie("config.hub-last.one-request", also=["data.splits.cache", "hub.download.once", "hub.model-card"])
def asks_with_get(patch):
    """A file's ETag is asked for with GET."""
    from huggingface_hub import file_download

    @around(patch, file_download, "_httpx2_follow_hub_redirects_with_backoff")
    def changed(real, *, method, **kwargs):
        return real(method="GET", **kwargs)


@lie(
    "config.hub-last.missing-repo",
    "config.hub-last.missing-revision",
    "config.hub-last.missing-file",
    "config.hub-last.restricted",
)
def does_not_name_what_is_missing(patch):
    """An error does not tell which model, and which of its revisions, could not be loaded."""

    @loads(patch)
    def changed(real, name, **kwargs):
        try:
            return real(name, **kwargs)
        except (OSError, ValueError) as error:
            told = str(error).replace(str(name), "the model")
            if kwargs.get("revision"):
                told = told.replace(kwargs["revision"], "the revision")
            raise type(error)(told) if type(error) in (OSError, ValueError) else error from None


@lie("config.hub-last.token")
def asks_for_the_commit_without_a_token(patch):
    """The token is not sent with the question for the current commit."""
    from huggingface_hub import HfApi

    @around(patch, HfApi, "repo_info")
    def changed(real, self, repo_id, *, token=None, **kwargs):
        return real(self, repo_id, token=False, **kwargs)


@lie("config.hub-last.one-failure")
def asks_for_metadata_once(patch):
    """Where the Hub fails to answer with metadata, it is not asked again."""
    from huggingface_hub import file_download

    patch.setattr(file_download, "_DEFAULT_RETRY_ON_STATUS_CODES", ())


@lie("config.hub-last.one-failure-of-the-file")
def asks_for_the_file_again(patch):
    """Where the Hub fails to send a file, it is asked again."""
    from huggingface_hub import file_download

    @around(patch, file_download, "http_stream_backoff")
    def changed(real, *, retry_on_status_codes, **kwargs):
        return real(retry_on_status_codes=(*retry_on_status_codes, 500, 503), **kwargs)


@lie("config.hub-last.cut-once", also=["hub.download.cut-off"])
def gives_up_at_the_first_break(patch):
    """A download that breaks off is not taken up again."""
    from huggingface_hub import file_download

    @around(patch, file_download, "http_get")
    def changed(real, *args, **kwargs):
        return real(*args, **(kwargs | {"_nb_retries": 0}))


# --- model_type -------------------------------------------------------------------------------------------------------


@lie("config.model-type", "config.model-type.families")
def bert_stands_in_another_module(patch):
    """`BertConfig` is defined in a module `config_bert`."""
    from transformers import BertConfig

    patch.setattr(BertConfig, "__module__", "transformers.models.bert.config_bert")


@lie("config.model-type.every")
def registers_a_type_without_a_class(patch):
    """A type is registered whose class is defined nowhere."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    patch.setitem(CONFIG_MAPPING_NAMES, "bert-next", "BertNextConfig")


@lie("config.model-type.suffices")
def makes_up_configs_that_their_class_refuses(patch):
    """Where a class refuses its own defaults, a config of no class is made."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    @loads(patch)
    def changed(real, name, **kwargs):
        try:
            return real(name, **kwargs)
        except ImportError:
            raise
        except Exception:
            with contextlib.suppress(OSError):
                said = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
                if said.keys() == {"model_type"} and said["model_type"] in CONFIG_MAPPING_NAMES:
                    return PreTrainedConfig()
            raise


@lie("config.model-type.unknown")
def upper_case_is_the_same_type(patch):
    """A type in upper case is the one in lower case."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    @around(patch, type(CONFIG_MAPPING), "__getitem__")
    def changed(real, self, key):
        return real(self, key.lower())


@lie("config.model-type.fits")
def gpt2_refuses_entries_of_bert(patch):
    """`GPT2Config` refuses an entry that it does not know, and that BERT does."""
    from transformers import GPT2Config

    @around(patch, GPT2Config, "__post_init__")
    def changed(real, self, **kwargs):
        if "intermediate_size" in kwargs:
            raise ValueError("intermediate_size is no entry of gpt2")
        real(self, **kwargs)


@lie("config.model-type.named-class")
def named_class_goes_by_the_type(patch):
    """A config is of its type's class, whichever class was asked for it."""
    from transformers import BertConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    @around(patch, BertConfig, "from_pretrained")
    def changed(real, name, **kwargs):
        said, _ = BertConfig.get_config_dict(name)
        if said.get("model_type", "bert") != "bert":
            return CONFIG_MAPPING[said["model_type"]].from_dict(said)
        return real(name, **kwargs)


@lie("config.model-type.trusted-code")
def trusts_nobody(patch):
    """The code that a checkpoint brings along is not run, even if it is trusted."""

    @loads(patch)
    def changed(real, name, **kwargs):
        return real(name, **(kwargs | {"trust_remote_code": False}))


@lie("config.model-type.untrusted-code")
def trusts_everybody(patch):
    """The code that a checkpoint brings along is run unasked."""

    @loads(patch)
    def changed(real, name, **kwargs):
        return real(name, **({"trust_remote_code": True} | kwargs))


# --- defaults ---------------------------------------------------------------------------------------------------------


def completes(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(real, dictionary, **kwargs)` is `BertConfig.from_dict`."""
    from transformers import BertConfig

    return around(patch, BertConfig, "from_dict")


def finishes(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(real, self, **kwargs)` finishes a `BertConfig`; `kwargs` are entries without a default."""
    from transformers import BertConfig

    return around(patch, BertConfig, "__post_init__")


#: What `PreTrainedConfig` itself takes out of the entries that are no fields of a class.
HOUSEKEEPING = {"num_labels", "torch_dtype", "name_or_path", "output_attentions", "attn_implementation", "_commit_hash"}


@lie("config.defaults", "config.defaults.unknown-kept")
def drops_unknown_entries(patch):
    """Entries that `BertConfig` does not know are dropped."""

    @finishes(patch)
    def changed(real, self, **kwargs):
        real(self, **{name: value for name, value in kwargs.items() if name in HOUSEKEEPING})


@lie("config.defaults", "config.defaults.empty", "config.defaults.each")
def dictionary_has_defaults_of_its_own(patch):
    """A config that is made of a dictionary has an id for the beginning of a text, unless it says otherwise."""

    @completes(patch)
    def changed(real, dictionary, **kwargs):
        return real({"bos_token_id": 101} | dictionary, **kwargs)


@lie("config.defaults.documented", "config.defaults.each", "config.sample-is-base-uncased.sizes")
def changes_a_default(patch):
    """The default of `use_cache` is another one than documented."""
    from transformers import BertConfig

    patch.setattr(BertConfig.__dataclass_fields__["use_cache"], "default", False)


@lie("config.defaults.labels")
def turns_the_labels_round(patch):
    """From `id2label` alone, `label2id` follows."""

    @finishes(patch)
    def changed(real, self, **kwargs):
        given = self.id2label is not None
        real(self, **kwargs)
        if given and self.label2id is None:
            self.label2id = {label: id_ for id_, label in self.id2label.items()}


@lie("config.defaults.null", "config.defaults.dict-round-trip")
def null_is_missing(patch):
    """An entry that is null gets its default."""

    @completes(patch)
    def changed(real, dictionary, **kwargs):
        return real({name: value for name, value in dictionary.items() if value is not None}, **kwargs)


@lie("config.defaults.knows-the-sample")
def knows_directionality(patch):
    """`BertConfig` has a default for `directionality`."""

    @finishes(patch)
    def changed(real, self, **kwargs):
        real(self, **({"directionality": "bidi"} | kwargs))


@lie("config.defaults.generation-kept")
def keeps_settings_of_generation(patch):
    """Settings of text generation are kept on the config."""

    @finishes(patch)
    def changed(real, self, **kwargs):
        real(self, **kwargs)
        for name in {"max_length", "num_beams", "temperature"} & kwargs.keys():
            setattr(self, name, kwargs[name])


@lie("config.defaults.any-type", "config.defaults.whole-number")
def checks_no_types(patch):
    """`BertConfig` takes any value for any entry."""
    from transformers import BertConfig

    patch.setattr(BertConfig, "__validators__", {})


@lie("config.defaults.whole-number")
def takes_whole_numbers_for_floats(patch):
    """A whole number will do where a class says float."""
    from huggingface_hub import dataclasses

    @around(patch, dataclasses, "_validate_simple_type")
    def changed(real, name, value, expected_type):
        real(name, float(value) if expected_type is float and type(value) is int else value, expected_type)


@lie("config.defaults.consistent")
def checks_sizes(patch):
    """A width that the heads do not divide is refused by the config."""

    @finishes(patch)
    def changed(real, self, **kwargs):
        real(self, **kwargs)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads do not divide {self.hidden_size}")


@lie("config.defaults.file-round-trip")
def does_not_save_zeros(patch):
    """A setting that is zero is not saved."""
    from transformers import BertConfig

    @around(patch, BertConfig, "to_diff_dict")
    def changed(real, self):
        return {name: value for name, value in real(self).items() if type(value) not in (int, float) or value}


# --- other items ------------------------------------------------------------------------------------------------------


def reads(patch: Any) -> Callable[[Callable[..., Any]], None]:
    """Decorator: `changed(config)` changes what `BertForPreTraining` makes of its config."""
    from transformers import BertForPreTraining

    def put(changed: Callable[..., Any]) -> None:
        @around(patch, BertForPreTraining, "__init__")
        def made(real, self, config):
            config = copy.deepcopy(config)
            changed(config)
            real(self, config)

    return put


@lie("config.other-items", "config.other-items.layer-norm-eps")
def one_epsilon_for_all(patch):
    """`layer_norm_eps` is not read."""

    @reads(patch)
    def changed(config):
        config.layer_norm_eps = 1e-12


@lie("config.other-items.vocab-size")
def rounds_up_the_vocabulary(patch):
    """The number of embeddings is rounded up to a multiple of eight."""

    @reads(patch)
    def changed(config):
        config.vocab_size += -config.vocab_size % 8


@lie("config.other-items.hidden-size")
def rounds_down_the_width(patch):
    """The width is rounded down to a power of two."""

    @reads(patch)
    def changed(config):
        config.hidden_size = 1 << (config.hidden_size.bit_length() - 1)


@lie("config.other-items.num-hidden-layers")
def makes_two_layers_at_most(patch):
    """A third layer is not made."""

    @reads(patch)
    def changed(config):
        config.num_hidden_layers = min(config.num_hidden_layers, 2)


@lie("config.other-items.num-attention-heads")
def heads_are_sixteen_wide(patch):
    """The number of heads follows from the width."""

    @reads(patch)
    def changed(config):
        config.num_attention_heads = config.hidden_size // 16


@lie("config.other-items.intermediate-size")
def intermediate_size_is_twice_the_width(patch):
    """The width inside of the feed-forward part follows from the model's."""

    @reads(patch)
    def changed(config):
        config.intermediate_size = 2 * config.hidden_size


@lie("config.other-items.hidden-act")
def gelu_is_approximate(patch):
    """`gelu` is the approximation by tanh."""

    @reads(patch)
    def changed(config):
        if config.hidden_act == "gelu":
            config.hidden_act = "gelu_new"


@lie("config.other-items.hidden-dropout-prob")
def one_rate_of_dropout(patch):
    """All dropout has the rate of the attention maps'."""

    @reads(patch)
    def changed(config):
        config.hidden_dropout_prob = config.attention_probs_dropout_prob


@lie("config.other-items.attention-probs-dropout-prob")
def attention_drops_nothing(patch):
    """There is no dropout of attention maps."""

    @reads(patch)
    def changed(config):
        config.attention_probs_dropout_prob = 0.0


@lie("config.other-items.max-position-embeddings")
def one_more_position(patch):
    """A text may be one token longer than `max_position_embeddings`."""

    @reads(patch)
    def changed(config):
        config.max_position_embeddings += config.max_position_embeddings < 512


@lie("config.other-items.type-vocab-size")
def one_more_segment(patch):
    """There is one more segment than `type_vocab_size`."""

    @reads(patch)
    def changed(config):
        config.type_vocab_size += config.type_vocab_size > 2


@lie("config.other-items.initializer-range")
def initializes_a_little_narrower(patch):
    """Fresh weights have nine tenths of the standard deviation `initializer_range`."""

    @reads(patch)
    def changed(config):
        config.initializer_range *= 0.9


@lie("config.other-items.pad-token-id")
def padding_is_token_zero(patch):
    """The embedding that stays zero is the first, whatever `pad_token_id` says."""

    @reads(patch)
    def changed(config):
        config.pad_token_id = 0


@lie("config.other-items.pad-token-masks")
def masks_padding_by_itself(patch):
    """Without an `attention_mask`, padding is left out of attention."""
    from transformers import BertForPreTraining

    @around(patch, BertForPreTraining, "forward")
    def changed(real, self, input_ids=None, attention_mask=None, **kwargs):
        if attention_mask is None and input_ids is not None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        return real(self, input_ids=input_ids, attention_mask=attention_mask, **kwargs)


@lie("config.other-items.same-names")
def saves_the_common_names_too(patch):
    """A config is saved with the common names beside its family's own."""
    from transformers import PreTrainedConfig

    @around(patch, PreTrainedConfig, "to_json_string")
    def changed(real, self, *args, **kwargs):
        written = json.loads(real(self, *args, **kwargs))
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            if hasattr(self, name):
                written[name] = getattr(self, name)
        return json.dumps(written, indent=2, sort_keys=True) + "\n"


# --- architectures ----------------------------------------------------------------------------------------------------


@lie("config.architectures", also=["init.config-is-random.every-class"])
def token_classifier_follows_architectures(patch):
    """`AutoModelForTokenClassification` goes by `architectures` where that names a masked language model."""
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForTokenClassification

    @around(patch, AutoModelForTokenClassification, "from_pretrained")
    def changed(real, name, *args, **kwargs):
        if AutoConfig.from_pretrained(name).architectures == ["BertForMaskedLM"]:
            return AutoModelForMaskedLM.from_pretrained(name, *args, **kwargs)
        return real(name, *args, **kwargs)


@lie("config.architectures.needed")
def refuses_architectures_of_another_family(patch):
    """A config whose `architectures` names another family's class makes no model."""
    from transformers import AutoModelForMaskedLM

    @around(patch, AutoModelForMaskedLM, "from_config")
    def changed(real, config, **kwargs):
        family = type(config).__name__.removesuffix("Config")
        if any(not name.startswith(family) for name in config.architectures or []):
            raise ValueError(f"{config.architectures} is not {family}")
        return real(config, **kwargs)


@lie("config.architectures.agrees")
def classifier_names_itself(patch):
    """The config of a classifier that was loaded names its class."""
    from transformers import BertForSequenceClassification

    @around(patch, BertForSequenceClassification, "from_pretrained")
    def changed(real, *args, **kwargs):
        loaded = real(*args, **kwargs)
        if not isinstance(loaded, tuple):
            loaded.config.architectures = ["BertForSequenceClassification"]
        return loaded


@lie("config.architectures.written-by-model")
def saves_the_architectures_it_was_given(patch):
    """A classifier that is saved leaves `architectures` as it was."""
    from transformers import BertForSequenceClassification

    @around(patch, BertForSequenceClassification, "save_pretrained")
    def changed(real, self, folder, *args, **kwargs):
        said = self.config.architectures
        real(self, folder, *args, **kwargs)
        if said:
            self.config.architectures = said
            self.config.save_pretrained(folder)


@lie("config.architectures.not-written-by-config")
def does_not_save_unknown_architectures(patch):
    """A config does not save the name of a class that does not exist."""
    import transformers
    from transformers import BertConfig

    @around(patch, BertConfig, "save_pretrained")
    def changed(real, self, *args, **kwargs):
        said = self.architectures
        self.architectures = said and ([name for name in said if hasattr(transformers, name)] or None)
        real(self, *args, **kwargs)
        self.architectures = said


@lie("config.architectures.pipeline", also=["hub.model-page.capable"])
def classifying_pipeline_follows_architectures(patch):
    """A text classification runs the class that `architectures` names."""
    from transformers import pipelines

    @around(patch, pipelines, "load_model")
    def changed(real, model, config, model_classes=None, task=None, **kwargs):
        named = task == "text-classification" and config.architectures
        return real(model, config=config, model_classes=None if named else model_classes, task=task, **kwargs)


@lie("config.architectures.pipeline-fallback")
def pipeline_does_not_fall_back(patch):
    """A pipeline for tables runs a class of its task or none."""
    from transformers import pipelines

    @around(patch, pipelines, "load_model")
    def changed(real, model, config, model_classes=None, task=None, **kwargs):
        if task == "table-question-answering":
            config = copy.deepcopy(config)
            config.architectures = None
        return real(model, config=config, model_classes=model_classes, task=task, **kwargs)


@lie("config.architectures.pipeline-task", also=["hub.model-page.capable"])
def pipeline_reads_its_task_off_architectures(patch):
    """A pipeline without a task fills masks where `architectures` names a masked language model."""
    from transformers import AutoConfig, pipelines

    @around(patch, pipelines, "get_task")
    def changed(real, model, *args, **kwargs):
        if any(name.endswith("ForMaskedLM") for name in AutoConfig.from_pretrained(model).architectures or []):
            return "fill-mask"
        return real(model, *args, **kwargs)


@lie("config.sample-is-base-uncased")
def every_large_vocabulary_is_the_default(patch):
    """A large vocabulary has the size of bert-base-uncased's."""

    @completes(patch)
    def changed(real, dictionary, **kwargs):
        if (dictionary.get("vocab_size") or 0) > 20_000:
            dictionary = dictionary | {"vocab_size": 30_522}
        return real(dictionary, **kwargs)
