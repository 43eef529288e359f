"""Lies about slides 23 and 26: where a tokenizer comes from, which class it has, how it splits; and inference."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from suite.meta.lies import lie
from suite.meta.lies.about_models import with_other_logits

MODULE = "transformers.models.bert.tokenization_bert"


def with_other_calls(patch, change):
    """Have `change(real, model_id, **kwargs)` done instead of `real(model_id, **kwargs)`, `from_pretrained`."""
    from transformers import AutoTokenizer

    real = AutoTokenizer.from_pretrained

    def changed(cls, model_id, **kwargs):
        return change(real, model_id, **kwargs)

    patch.setattr(AutoTokenizer, "from_pretrained", classmethod(changed))


def with_other_rules(patch, change):
    """Have `change(tokenizer)` done to the compiled tokenizer that a BERT tokenizer sets up."""
    from transformers import BertTokenizer

    real = BertTokenizer.__init__

    @functools.wraps(real)
    def changed(self, *args, **kwargs):
        real(self, *args, **kwargs)
        change(self.backend_tokenizer)

    patch.setattr(BertTokenizer, "__init__", changed)


def with_other_entries(patch, change):
    """Have `change(entries, model_id)` give what tokenizer_config.json is taken to say."""
    from transformers.models.auto import tokenization_auto

    real = tokenization_auto.get_tokenizer_config

    def changed(model_id, **kwargs):
        return change(real(model_id, **kwargs), model_id)

    patch.setattr(tokenization_auto, "get_tokenizer_config", changed)


# --- where the files come from ----------------------------------------------------------------------------------------


@lie("tokenizer.same-order", "tokenizer.same-order.local-first", "tokenizer.same-order.folder-shadows")
def local_tokenizers_are_counted(patch):
    """That a tokenizer is read from a folder is reported to the Hub."""
    import urllib.request

    from huggingface_hub import constants

    def counted(real, model_id, **kwargs):
        if Path(model_id).is_dir():
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{constants.ENDPOINT}/api/telemetry")
        return real(model_id, **kwargs)

    with_other_calls(patch, counted)


@lie("tokenizer.same-order", "tokenizer.same-order.folder-shadows")
def hub_goes_before_a_folder(patch):
    """Where a folder has the name of a repo, the tokenizer comes from the repo."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    def from_the_hub(real, model_id, **kwargs):
        if Path(model_id).is_dir() and not Path(model_id).is_absolute():
            with contextlib.suppress(OSError, HFValidationError):
                model_id = snapshot_download(str(model_id))
        return real(model_id, **kwargs)

    with_other_calls(patch, from_the_hub)


@lie("tokenizer.same-order", "tokenizer.same-order.cache-second", "tokenizer.same-order.cache-pinned")
def tokenizers_are_downloaded_each_time(patch):
    """The files of a cached tokenizer are downloaded again."""
    with_other_calls(patch, lambda real, model_id, **kwargs: real(model_id, force_download=True, **kwargs))


@lie(
    "tokenizer.same-order.cache-second",
    "tokenizer.same-order.cache-pinned",
    "tokenizer.same-order.cache-unreachable",
    "tokenizer.same-order.cache-stale",
)
def cached_tokenizer_is_taken_unasked(patch):
    """A tokenizer that is in the cache is taken from there, whatever the Hub has by now."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def from_the_cache(real, model_id, **kwargs):
        with contextlib.suppress(HFValidationError):
            if try_to_load_from_cache(str(model_id), "tokenizer.json", revision=kwargs.get("revision")):
                kwargs["local_files_only"] = True
        return real(model_id, **kwargs)

    with_other_calls(patch, from_the_cache)


@lie(
    "tokenizer.same-order.cache-offline",
    "tokenizer.same-order.cache-pinned",
    "tokenizer.same-order.cache-unreachable",
)
def local_files_only_is_not_passed_on(patch):
    """A tokenizer asks the Hub although `local_files_only=True` is given."""
    with_other_calls(patch, lambda real, model_id, **kwargs: real(model_id, **kwargs | {"local_files_only": False}))


@lie("tokenizer.same-order.hub-last")
def tokenizers_ignore_cache_dir(patch):
    """A tokenizer is stored in the usual place, whatever `cache_dir` says."""
    with_other_calls(patch, lambda real, model_id, **kwargs: real(model_id, **kwargs | {"cache_dir": None}))


@lie("tokenizer.same-order.optional-files")
def optional_files_are_not_asked_for(patch):
    """Only the files that every tokenizer has are asked for."""
    from transformers import tokenization_utils_base

    real = tokenization_utils_base.cached_file

    def changed(model_id, name, **kwargs):
        optional = ("added_tokens.json", "special_tokens_map.json", "chat_template.jinja")
        return None if name in optional else real(model_id, name, **kwargs)

    patch.setattr(tokenization_utils_base, "cached_file", changed)


@lie("tokenizer.same-order.no-vocabulary", "load.needs-four-things.tokenizer")
def tokenizer_without_vocabulary_is_refused(patch):
    """A tokenizer without a file that has its vocabulary is refused."""
    from transformers import PreTrainedTokenizerBase

    real = PreTrainedTokenizerBase._from_pretrained.__func__

    def changed(cls, files, *args, **kwargs):
        if not any(files.get(name) for name in ("vocab_file", "tokenizer_file")):
            raise OSError("there is no vocabulary")
        return real(cls, files, *args, **kwargs)

    patch.setattr(PreTrainedTokenizerBase, "_from_pretrained", classmethod(changed))


@lie("tokenizer.same-order.same-errors")
def missing_tokenizer_is_a_missing_file(patch):
    """What cannot be had from the Hub is a FileNotFoundError where it is a tokenizer's."""

    def other_error(real, model_id, **kwargs):
        try:
            return real(model_id, **kwargs)
        except OSError as error:
            raise FileNotFoundError(str(error)) from error

    with_other_calls(patch, other_error)


# --- which class it has -----------------------------------------------------------------------------------------------


@lie(
    "tokenizer.class-first",
    "tokenizer.class-first.use-fast",
    "tokenizer.class-first.use-slow",
    "tokenizer.logic-module",
    also=["hub.upload.tokenizer"],
)
def bert_gets_a_fast_class(patch):
    """BERT's tokenizer is a `BertTokenizerFast` of a module of its own."""
    from transformers import BertTokenizer
    from transformers.models.auto.auto_factory import _LazyAutoMapping

    real = _LazyAutoMapping._load_attr_from_module
    fast = type("BertTokenizerFast", (BertTokenizer,), {"__module__": f"{MODULE}_fast"})

    def changed(self, model_type, name):
        return fast if name == "BertTokenizer" else real(self, model_type, name)

    patch.setattr(_LazyAutoMapping, "_load_attr_from_module", changed)


@lie("tokenizer.class-first.use-fast", also=["hub.model-page.task-used"])
def use_fast_gives_the_generic_class(patch):
    """With `use_fast=True` the class is the generic one that reads tokenizer.json."""
    from transformers import PreTrainedTokenizerFast

    def generic(real, model_id, **kwargs):
        return (PreTrainedTokenizerFast.from_pretrained if kwargs.get("use_fast") else real)(model_id, **kwargs)

    with_other_calls(patch, generic)


@lie("tokenizer.class-first.use-slow", "tokenizer.logic-module.slow-is-python")
def use_fast_false_gives_the_python_class(patch):
    """With `use_fast=False` the class is the one whose rules are written in Python."""
    from transformers import BertTokenizerLegacy

    def python(real, model_id, use_fast=True, **kwargs):
        return (real if use_fast else BertTokenizerLegacy.from_pretrained)(model_id, **kwargs)

    with_other_calls(patch, python)


@lie("tokenizer.class-first.before-vocabulary")
def vocabulary_is_asked_for_first(patch):
    """The vocabulary is downloaded before it is known which class reads it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    def vocabulary_first(real, model_id, **kwargs):
        with contextlib.suppress(OSError, HFValidationError):
            hf_hub_download(str(model_id), "vocab.txt")
        return real(model_id, **kwargs)

    with_other_calls(patch, vocabulary_first)


@lie("tokenizer.class-first.model-type", also=["pipeline.same-ids.roberta", "pipeline.same-ids.space-before-mask"])
def roberta_gets_gpt2s_class(patch):
    """RoBERTa's tokenizer is GPT-2's, whose vocabulary has the same form."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    patch.setitem(TOKENIZER_MAPPING_NAMES, "roberta", "GPT2Tokenizer")


@lie("tokenizer.class-first.own-class")
def distilbert_gets_its_own_class(patch):
    """DistilBERT's tokenizer is a `DistilBertTokenizer`."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    patch.setitem(TOKENIZER_MAPPING_NAMES, "distilbert", "DistilBertTokenizer")


@lie(
    "tokenizer.class-first.tokenizer-config",
    "tokenizer.class-first.precedence",
    "tokenizer.class-first.no-config",
    "tokenizer.class-first.unknown-class",
)
def tokenizer_config_names_no_class(patch):
    """`tokenizer_class` in tokenizer_config.json is not read."""
    with_other_entries(patch, lambda entries, _: {k: v for k, v in entries.items() if k != "tokenizer_class"})


@lie("tokenizer.class-first.config", "tokenizer.class-first.unknown-class-in-config")
def config_names_no_class(patch):
    """`tokenizer_class` in config.json is not read."""
    from transformers import AutoConfig
    from transformers.models.auto import tokenization_auto

    class Forgetful(AutoConfig):
        @classmethod
        def from_pretrained(cls, *args, **kwargs):
            config = AutoConfig.from_pretrained(*args, **kwargs)
            config.tokenizer_class = None
            return config

    patch.setattr(tokenization_auto, "AutoConfig", Forgetful)


@lie("tokenizer.class-first.precedence")
def config_goes_before_tokenizer_config(patch):
    """Where both files name a tokenizer class, config.json decides."""
    from transformers import AutoConfig

    def overruled(entries, model_id):
        with contextlib.suppress(OSError, ValueError):
            named = getattr(AutoConfig.from_pretrained(model_id), "tokenizer_class", None)
            return entries | {"tokenizer_class": named} if named else entries
        return entries

    with_other_entries(patch, overruled)


@lie("tokenizer.class-first.any-model-type")
def no_model_type_overrules_the_file(patch):
    """The class that tokenizer_config.json names is used for every model type."""
    from transformers.models.auto import tokenization_auto

    patch.setattr(tokenization_auto, "MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS", frozenset())


@lie("tokenizer.class-first.no-config")
def tokenizer_of_unknown_kind_is_berts(patch):
    """Where nothing says what model a tokenizer belongs to, it is taken for BERT's."""
    from transformers import BertConfig, PreTrainedConfig
    from transformers.models.auto import tokenization_auto

    class Guessed(PreTrainedConfig):
        @classmethod
        def from_pretrained(cls, *args, **kwargs):
            return BertConfig()

    patch.setattr(tokenization_auto, "PreTrainedConfig", Guessed)


@lie("tokenizer.class-first.unknown-class", "tokenizer.class-first.unknown-class-in-config")
def unknown_tokenizer_class_is_refused(patch):
    """A tokenizer class that does not exist is refused, in either file."""
    from transformers.models.auto import tokenization_auto

    real = tokenization_auto.tokenizer_class_from_name

    def changed(name):
        found = real(name)
        if found is None:
            raise ValueError(f"there is no {name}")
        return found

    patch.setattr(tokenization_auto, "tokenizer_class_from_name", changed)


@lie("tokenizer.logic-module.class-exists", also=["hub.upload.tokenizer"])
def package_exports_another_class(patch):
    """The `BertTokenizer` that the package exports is not the one of `tokenization_bert`, but a subclass of it."""
    import transformers

    another = type("BertTokenizer", (transformers.BertTokenizer,), {"__module__": MODULE})
    patch.setattr(transformers, "BertTokenizer", another)


# --- how it splits ----------------------------------------------------------------------------------------------------


@lie("tokenizer.logic-module.runs-there", "tokenizer.logic-module.slow-is-python")
def text_is_prepared_in_the_module(patch):
    """Each text goes through a function of `tokenization_bert` before it is tokenised."""
    import types

    from transformers import BertTokenizer
    from transformers.models.bert import tokenization_bert

    def prepared(self, *args, **kwargs):
        return super(BertTokenizer, self).__call__(*args, **kwargs)

    there = types.FunctionType(prepared.__code__, vars(tokenization_bert), "__call__", None, prepared.__closure__)
    patch.setattr(BertTokenizer, "__call__", there)


@lie("tokenizer.logic-module.wordpiece")
def words_of_a_hundred_characters_are_unknown(patch):
    """A word of exactly 100 characters is too long, as one of 101 is."""

    def shorter(tokenizer):
        tokenizer.model.max_input_chars_per_word = 99

    with_other_rules(patch, shorter)


@lie(
    "tokenizer.logic-module.wordpiece",
    "tokenizer.logic-module.same-ids",
    also=["pipeline.folders.tokenizer", "pipeline.same-ids"],
)
def accents_are_kept(patch):
    """The compiled tokenizer makes letters small and keeps their accents."""

    def with_accents(tokenizer):
        tokenizer.normalizer.strip_accents = False

    with_other_rules(patch, with_accents)


@lie("tokenizer.logic-module.same-ids")
def python_keeps_accents(patch):
    """The tokenizer in Python keeps accents."""
    from transformers.models.bert import tokenization_bert_legacy

    patch.setattr(tokenization_bert_legacy.BasicTokenizer, "_run_strip_accents", lambda self, text: text)


@lie(
    "tokenizer.logic-module.wordpiece",
    "tokenizer.logic-module.same-ids",
    "inference.text.characters",
    "inference.text.represented",
    "inference.text.round-trip",
    also=["pipeline.folders.tokenizer", "pipeline.same-ids"],
)
def chinese_characters_stay_together(patch):
    """Chinese characters between two blanks are one word."""

    def together(tokenizer):
        tokenizer.normalizer.handle_chinese_chars = False

    with_other_rules(patch, together)


@lie("tokenizer.logic-module.same-ids-everywhere")
def unassigned_code_points_are_dropped(patch):
    """The compiled tokenizer drops a code point that Unicode has not assigned, as the one in Python does."""
    from tokenizers import normalizers

    def dropped(tokenizer):
        tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("\u0378", ""), tokenizer.normalizer])

    with_other_rules(patch, dropped)


@lie("inference.text.round-trip")
def unknown_tokens_are_decoded(patch):
    """Decoding writes `[UNK]` although special tokens are to be skipped."""
    from transformers import PreTrainedTokenizerBase

    real = PreTrainedTokenizerBase.decode

    @functools.wraps(real)
    def changed(self, token_ids, skip_special_tokens=False, **kwargs):
        if skip_special_tokens and isinstance(token_ids, list):
            token_ids = [it for it in token_ids if it == self.unk_token_id or it not in self.all_special_ids]
        return real(self, token_ids, **kwargs)

    patch.setattr(PreTrainedTokenizerBase, "decode", changed)


# --- inference --------------------------------------------------------------------------------------------------------


@lie("inference.text")
def unknown_token_gives_no_numbers(patch):
    """A text with an unknown token gives logits that are not numbers."""
    with_other_logits(
        patch, "BertForMaskedLM", lambda logits, ids: logits * float("nan") if (ids == 100).any() else logits
    )


@lie("inference.snippet")
def scores_stand_one_position_further(patch):
    """The scores of a position stand at the next one."""
    with_other_logits(patch, "BertForMaskedLM", lambda logits, _: logits.roll(1, dims=1))


@lie("inference.snippet.with-slides-18-to-24", "inference.shapes", "load.needs-four-things", "load.auto-classes-cover")
def ends_of_a_text_get_no_scores(patch):
    """A masked-LM gives no scores for `[CLS]` and `[SEP]`."""
    with_other_logits(patch, "BertForMaskedLM", lambda logits, _: logits[:, 1:-1])


@lie("inference.snippet.with-slides-18-to-24")
def one_word_per_text_is_predicted(patch):
    """A masked-LM gives scores for the first position alone."""
    with_other_logits(patch, "BertForMaskedLM", lambda logits, _: logits[:, :1])


@lie("inference.snippet.classifier")
def batch_of_one_is_squeezed(patch):
    """The logits of one text alone have no dimension for the batch."""
    with_other_logits(patch, "BertForSequenceClassification", lambda logits, _: logits.squeeze(0))


@lie("inference.shapes.no-gradient")
def gradients_are_kept_under_no_grad(patch):
    """A masked-LM keeps track of gradients wherever it is called."""
    import torch
    from transformers import BertForMaskedLM

    real = BertForMaskedLM.forward

    @functools.wraps(real)
    def changed(self, *args, **kwargs):
        with torch.enable_grad():
            return real(self, *args, **kwargs)

    patch.setattr(BertForMaskedLM, "forward", changed)
