"""Lies about slides 16 to 18, 22, 24, 39 and 40: Auto classes, heads, and what is made at random."""

from __future__ import annotations

import contextlib
import functools
from unittest import mock

from suite.meta.lies import lie


def after_making(patch, change):
    """Have `change(model)` done at the end of each `from_config`; what it returns, if not None, is the model."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._from_config.__func__

    def changed(cls, config, **kwargs):
        model = real(cls, config, **kwargs)
        return change(model) or model

    patch.setattr(PreTrainedModel, "_from_config", classmethod(changed))


def around_making(patch, context):
    """Have each `from_config` done inside a context manager, `context()`."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._from_config.__func__

    def changed(cls, config, **kwargs):
        with context():
            return real(cls, config, **kwargs)

    patch.setattr(PreTrainedModel, "_from_config", classmethod(changed))


def after_loading(patch, change):
    """Have `change(model)` done at the end of each `from_pretrained`, after the model was put in evaluation mode."""
    from transformers import PreTrainedModel

    real = PreTrainedModel.set_use_kernels

    def changed(self, *args, **kwargs):
        real(self, *args, **kwargs)
        change(self)

    patch.setattr(PreTrainedModel, "set_use_kernels", changed)


def around_new_parameters(patch, context):
    """Have what a checkpoint lacks drawn inside a context manager, `context()`."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._initialize_missing_keys

    def changed(self, *args, **kwargs):
        with context():
            real(self, *args, **kwargs)

    patch.setattr(PreTrainedModel, "_initialize_missing_keys", changed)


def with_other_logits(patch, class_name, change):
    """Have `change(logits, input_ids)` done to what a BERT class gives where it is given no labels."""
    import transformers

    model_class = getattr(transformers, class_name)
    real = model_class.forward

    @functools.wraps(real)
    def changed(self, *args, **kwargs):
        outputs = real(self, *args, **kwargs)
        if kwargs.get("labels") is None:
            outputs.logits = change(outputs.logits, args[0] if args else kwargs["input_ids"])
        return outputs

    patch.setattr(model_class, "forward", changed)


def mapped(patch, auto_class, model_type, name):
    """Have an Auto class choose another model class for a model type, or none where `name` is None."""
    import transformers

    names = getattr(transformers, auto_class)._model_mapping._model_mapping
    if name is None:
        patch.delitem(names, model_type)
    else:
        patch.setitem(names, model_type, name)


# --- what a model takes, and what comes out ---------------------------------------------------------------------------


@lie(
    "load.needs-four-things",
    "load.needs-four-things.tokenizer.only-for-text",
    "load.auto-classes-cover",
    "inference.shapes",
    also=["hub.model-card.usage"],
)
def masked_lm_forgets_the_last_entry(patch):
    """A masked-LM gives no score for the last entry of the vocabulary."""
    with_other_logits(patch, "BertForMaskedLM", lambda logits, _: logits[..., :-1])


@lie("load.needs-four-things.architecture")
def missing_model_type_is_guessed(patch):
    """A config without `model_type` is taken for BERT's."""
    from transformers import PreTrainedConfig

    real = PreTrainedConfig.get_config_dict.__func__

    def changed(cls, *args, **kwargs):
        content, rest = real(cls, *args, **kwargs)
        if content and "vocab_size" in content:
            content.setdefault("model_type", "bert")
        return content, rest

    patch.setattr(PreTrainedConfig, "get_config_dict", classmethod(changed))


@lie("load.needs-four-things.config")
def missing_config_is_replaced(patch):
    """Where there is no config.json, BERT's defaults are taken."""
    from transformers import PreTrainedConfig

    real = PreTrainedConfig.get_config_dict.__func__

    def changed(cls, *args, **kwargs):
        content, rest = real(cls, *args, **kwargs)
        return content or {"model_type": "bert"}, rest

    patch.setattr(PreTrainedConfig, "get_config_dict", classmethod(changed))


@lie("load.needs-four-things.config.named", also=["hub.upload.tokenizer"])
def missing_config_is_named(patch):
    """The error of a missing config.json says that the file is missing."""
    from transformers import PreTrainedConfig

    real = PreTrainedConfig.get_config_dict.__func__

    def changed(cls, *args, **kwargs):
        content, rest = real(cls, *args, **kwargs)
        if not content:
            raise OSError("there is no config.json")
        return content, rest

    patch.setattr(PreTrainedConfig, "get_config_dict", classmethod(changed))


@lie("load.needs-four-things.task", "heads.every-class", "heads.every-class.refused")
def masked_lm_takes_a_causal_model(patch):
    """`AutoModelForMaskedLM` gives GPT-2's causal head instead of refusing."""
    mapped(patch, "AutoModelForMaskedLM", "gpt2", "GPT2LMHeadModel")


@lie("load.needs-four-things.parameters", "weights.files.neither")
def missing_weights_are_drawn(patch):
    """Where there is no weights file, a random model is given."""
    from transformers import PreTrainedModel

    real = PreTrainedModel.from_pretrained.__func__

    def changed(cls, *args, **kwargs):
        try:
            return real(cls, *args, **kwargs)
        except OSError as error:
            if "no file named" not in str(error) and "appear to have a file named" not in str(error):
                raise
            return cls._from_config(kwargs["config"])

    patch.setattr(PreTrainedModel, "from_pretrained", classmethod(changed))


# --- the Auto classes -------------------------------------------------------------------------------------------------


@lie("load.auto-classes-cover.named", also=["init.config-is-random.every-class", "scripts.modes.causal.fine-tune"])
def causal_lm_class_loses_its_method(patch):
    """`AutoModelForCausalLM` is an empty name, kept for old imports."""
    import transformers

    patch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", None)


@lie("load.auto-classes-cover.tasks")
def one_auto_class_has_no_models(patch):
    """`AutoModelForTextToWaveform` is there, but no model is registered for it."""
    from transformers import AutoModelForTextToWaveform

    patch.setattr(AutoModelForTextToWaveform._model_mapping, "_model_mapping", {})


@lie("load.auto-classes-cover.every-architecture", "heads.every-class", "init.config-is-random.every-class")
def next_sentence_model_of_bert_is_not_registered(patch):
    """`AutoModelForNextSentencePrediction` does not know BERT."""
    mapped(patch, "AutoModelForNextSentencePrediction", "bert", None)


@lie("load.auto-classes-cover.every-architecture.t5", "heads.every-class")
def question_answering_model_of_t5_is_not_registered(patch):
    """`AutoModelForQuestionAnswering` does not know T5."""
    mapped(patch, "AutoModelForQuestionAnswering", "t5", None)


@lie("load.auto-classes-cover.every-architecture.gpt2")
def double_heads_are_registered(patch):
    """`AutoModelForMultipleChoice` gives GPT-2's model with two heads."""
    mapped(patch, "AutoModelForMultipleChoice", "gpt2", "GPT2DoubleHeadsModel")


@lie("load.id-and-class")
def repos_of_one_owner_are_mixed_up(patch):
    """The weights file that was found for one repo is taken for the next one of the same owner."""
    from pathlib import Path

    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files
    found = {}

    def changed(*args, **kwargs):
        model_id = str(kwargs["pretrained_model_name_or_path"])
        owner = model_id.partition("/")[0]
        if not owner or Path(model_id).is_dir():
            return real(*args, **kwargs)
        if owner not in found or not Path(found[owner][0][0]).exists():
            found[owner] = real(*args, **kwargs)
        return found[owner]

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


@lie(
    "load.auto-classes-cover",
    "load.id-and-class",
    "load.id-and-class.task-in-name",
    "weights.class-chosen",
    "heads.masked-lm-perfect",
    "inference.snippet.slides-before",
    "init.config-is-random",
    also=["hub.model-card.usage", "hub.model-page.task-used"],
)
def masked_lm_gives_the_class_of_pretraining(patch):
    """`AutoModelForMaskedLM` gives BERT's class with both heads."""
    mapped(patch, "AutoModelForMaskedLM", "bert", "BertForPreTraining")


@lie("load.id-and-class.task-in-name", "weights.class-chosen.auto-class")
def token_classes_are_sentence_classes(patch):
    """`AutoModelForTokenClassification` gives BERT's sentence classifier."""
    mapped(patch, "AutoModelForTokenClassification", "bert", "BertForSequenceClassification")


def named_after_the_task(patch, auto_class, new, old):
    """Have an Auto class give, for BERT, a subclass of `old` that is called `new`."""
    from transformers.models import bert
    from transformers.models.bert import modeling_bert

    patch.setattr(bert, new, type(new, (getattr(modeling_bert, old),), {"__module__": modeling_bert.__name__}), False)
    mapped(patch, auto_class, "bert", new)


@lie("load.id-and-class.task-in-name.CausalLM", "heads.every-class.own-head")
def causal_class_is_named_after_its_task(patch):
    """`AutoModelForCausalLM` gives a `BertForCausalLM`."""
    named_after_the_task(patch, "AutoModelForCausalLM", "BertForCausalLM", "BertLMHeadModel")


@lie("load.id-and-class.task-in-name.TextEncoding")
def text_encoder_is_named_after_its_task(patch):
    """`AutoModelForTextEncoding` gives a `BertForTextEncoding`."""
    named_after_the_task(patch, "AutoModelForTextEncoding", "BertForTextEncoding", "BertModel")


@lie("load.id-and-class.causal")
def causal_class_makes_a_decoder(patch):
    """BERT's causal class sets `is_decoder` by itself."""
    from transformers import BertLMHeadModel

    real = BertLMHeadModel.__init__

    def changed(self, config):
        config.is_decoder = True
        real(self, config)

    patch.setattr(BertLMHeadModel, "__init__", changed)


@lie("load.id-and-class.refused-early")
def weights_are_fetched_before_the_class_is_chosen(patch):
    """The weights are downloaded before it is known whether there is a model class."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError
    from transformers.models.auto import auto_factory

    real = auto_factory.resolve_trust_remote_code

    def changed(trust_remote_code, model_id, *args, **kwargs):
        with contextlib.suppress(OSError, HFValidationError):
            hf_hub_download(model_id, "model.safetensors")
        return real(trust_remote_code, model_id, *args, **kwargs)

    patch.setattr(auto_factory, "resolve_trust_remote_code", changed)


@lie("heads.every-class.refused")
def refusal_does_not_name_what_is_accepted(patch):
    """`AutoModelForMaskedLM` refuses without saying which configs it takes."""
    from transformers import AutoModelForMaskedLM

    real = AutoModelForMaskedLM.from_pretrained

    def changed(cls, *args, **kwargs):
        try:
            return real(*args, **kwargs)
        except ValueError as error:
            raise ValueError(str(error).splitlines()[0]) from error

    patch.setattr(AutoModelForMaskedLM, "from_pretrained", classmethod(changed))


@lie(
    "init.config-is-random.refused",
    "heads.every-class",
    "heads.every-class.refused",
    "load.id-and-class.refused-early",
)
def any_model_translates(patch):
    """`AutoModelForSeq2SeqLM` takes BERT for a decoder."""
    mapped(patch, "AutoModelForSeq2SeqLM", "bert", "BertLMHeadModel")


@lie("heads.every-class.backbone")
def backbone_class_looks_into_folders(patch):
    """`AutoBackbone` reads the config of a local folder, and refuses as the others do."""
    from pathlib import Path

    from transformers import AutoBackbone, AutoModelForImageClassification

    real = AutoBackbone.from_pretrained

    def changed(cls, model_id, *args, **kwargs):
        if Path(model_id).is_dir():
            return AutoModelForImageClassification.from_pretrained(model_id, *args, **kwargs)
        return real(model_id, *args, **kwargs)

    patch.setattr(AutoBackbone, "from_pretrained", classmethod(changed))


# --- what is said of a loading ----------------------------------------------------------------------------------------


@lie(
    "load.needs-four-things.parameters.each",
    "heads.classifier-random",
    "heads.classifier-random.only-head",
    "heads.classifier-random.warned",
    "heads.every-class.new-told",
    "heads.every-class.other-task",
    also=["hub.model-page.capable"],
)
def missing_keys_are_not_reported(patch):
    """What a checkpoint lacks is made anew without a word."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._adjust_missing_and_unexpected_keys

    def changed(self, loading_info):
        real(self, loading_info)
        loading_info.missing_keys = set()

    patch.setattr(PreTrainedModel, "_adjust_missing_and_unexpected_keys", changed)


@lie(
    "heads.masked-lm-perfect.published.nothing-left-out",
    "heads.masked-lm-perfect.published.no-warning",
    "heads.base-ignores-head",
    "heads.base-ignores-head.told",
    "heads.base-ignores-head.published",
    "heads.classifier-random.old-head-left-out",
    "heads.every-class.left-out-told",
)
def unexpected_keys_are_not_reported(patch):
    """What a checkpoint has too much is left out without a word."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._adjust_missing_and_unexpected_keys

    def changed(self, loading_info):
        real(self, loading_info)
        loading_info.unexpected_keys = set()

    patch.setattr(PreTrainedModel, "_adjust_missing_and_unexpected_keys", changed)


@lie("heads.base-ignores-head", "heads.every-class.left-out-told", "heads.classifier-random.old-head-left-out")
def biases_left_out_are_not_reported(patch):
    """Of what is left out only matrices are reported."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._adjust_missing_and_unexpected_keys

    def changed(self, loading_info):
        real(self, loading_info)
        loading_info.unexpected_keys = {key for key in loading_info.unexpected_keys if not key.endswith("bias")}

    patch.setattr(PreTrainedModel, "_adjust_missing_and_unexpected_keys", changed)


@lie(
    "heads.base-ignores-head.nothing-new",
    "heads.every-class.only-head-new.pooler",
    also=["heads.*", "load.*", "inference.*", "weights.*", "init.*"],
)
def base_models_have_no_pooler(patch):
    """`AutoModel` makes a model without a pooler where the family can do without."""
    from transformers import AutoConfig, AutoModel

    real = AutoModel.from_pretrained

    def changed(cls, folder, *args, **kwargs):
        if AutoConfig.from_pretrained(folder).model_type in ("bert", "roberta", "albert"):
            kwargs.setdefault("add_pooling_layer", False)
        return real(folder, *args, **kwargs)

    patch.setattr(AutoModel, "from_pretrained", classmethod(changed))


@lie("heads.classifier-random.only-head")
def missing_pooler_is_not_reported(patch):
    """A pooler that is made anew is not reported as missing."""
    from transformers.models.bert.modeling_bert import BertPreTrainedModel

    patch.setattr(BertPreTrainedModel, "_keys_to_ignore_on_load_missing", [r"pooler\."])


@lie(
    "heads.masked-lm-perfect",
    "heads.masked-lm-perfect.no-warning",
    "heads.masked-lm-perfect.any-format",
    "heads.masked-lm-perfect.published.nothing-missing",
    "heads.every-class.own-head",
    "heads.every-class.new-told",
)
def tied_parameters_are_reported_missing(patch):
    """A parameter that is tied to another one is reported as missing."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._adjust_missing_and_unexpected_keys

    def changed(self, loading_info):
        real(self, loading_info)
        loading_info.missing_keys = loading_info.missing_keys | set(self.all_tied_weights_keys)

    patch.setattr(PreTrainedModel, "_adjust_missing_and_unexpected_keys", changed)


@lie(
    "heads.base-ignores-head.told",
    "heads.classifier-random.warned",
    "heads.masked-lm-perfect.published.no-warning",
    "heads.every-class.new-told",
    "heads.every-class.one-warning",
    "heads.every-class.one-warning.tied-bias",
)
def loading_report_is_not_a_warning(patch):
    """What is left out and what is new is logged at level INFO."""
    from transformers import modeling_utils

    real = modeling_utils.log_state_dict_report

    class Quiet:
        def __init__(self, logger):
            self.warning, self.isEnabledFor = logger.info, logger.isEnabledFor

    def changed(*args, logger, **kwargs):
        real(*args, logger=Quiet(logger), **kwargs)

    patch.setattr(modeling_utils, "log_state_dict_report", changed)


@lie("heads.every-class.left-out-told.t5-encoder", "heads.every-class.left-out-told.t5-token-classifier")
def decoder_left_out_of_t5_is_reported(patch):
    """That a model which is T5's encoder alone has no use for the decoder is reported."""
    from transformers import T5EncoderModel, T5ForTokenClassification

    for model_class in (T5EncoderModel, T5ForTokenClassification):
        patch.setattr(model_class, "_keys_to_ignore_on_load_unexpected", [])


@lie("heads.every-class.only-head-left-out.t5-encoder")
def t5_encodes_with_its_decoder(patch):
    """`AutoModelForTextEncoding` gives T5's whole base model."""
    mapped(patch, "AutoModelForTextEncoding", "t5", "T5Model")


@lie(
    "heads.every-class.only-head-left-out",
    "heads.every-class.encoder-loaded",
    "load.id-and-class",
    "init.config-is-random.every-class",
)
def token_classifiers_lack_a_layer(patch):
    """BERT's token classifier, when loaded, has no last layer."""
    from transformers import BertForTokenClassification

    after_loading(
        patch,
        lambda model: (
            model.bert.encoder.layer.__delitem__(-1) if isinstance(model, BertForTokenClassification) else None
        ),
    )


# --- a new head -------------------------------------------------------------------------------------------------------


@lie(
    "heads.classifier-random",
    "heads.classifier-random.normal",
    "heads.classifier-random.predictions",
    "heads.every-class.new-random",
    "heads.every-class.classifier-normal",
    also=["hub.model-page.capable"],
)
def new_matrices_are_zero(patch):
    """A new head has zero weights, so that every class is equally likely at first."""
    from transformers import initialization

    def zeros(tensor, **_):
        return initialization.zeros_(tensor)

    around_new_parameters(patch, lambda: mock.patch.object(initialization, "normal_", zeros))


@lie(
    "heads.classifier-random",
    "heads.classifier-random.predictions",
    "heads.every-class.new-random",
    "heads.every-class.other-size",
    "heads.classifier-random.repeats",
    "load.needs-four-things.parameters.each",
    also=["hub.model-page.capable"],
)
def new_parameters_are_the_same_each_time(patch):
    """What a checkpoint lacks is drawn with a seed of its own."""
    import torch

    @contextlib.contextmanager
    def seeded():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield

    around_new_parameters(patch, seeded)


@lie("heads.classifier-random.repeats")
def new_head_ignores_the_seed(patch):
    """What a checkpoint lacks is drawn from the system's entropy."""
    import torch

    @contextlib.contextmanager
    def unseeded():
        with torch.random.fork_rng(devices=[]):
            torch.seed()
            yield

    around_new_parameters(patch, unseeded)


@lie("heads.every-class.other-task")
def new_head_is_the_checkpoints(patch):
    """RoBERTa's new token head gets the last layer of the stored sentence head."""
    from transformers import core_model_loading

    real = core_model_loading.rename_source_key

    def changed(source_key, renamings, converters, base_model_prefix=None, meta_state_dict=None, **kwargs):
        other = source_key.replace("classifier.out_proj.", "classifier.")
        if other in (meta_state_dict or ()):
            source_key = other
        return real(source_key, renamings, converters, base_model_prefix, meta_state_dict, **kwargs)

    patch.setattr(core_model_loading, "rename_source_key", changed)


@lie("heads.every-class.other-task.same-name", "heads.every-class.multiple-choice")
def head_of_another_class_is_left_out(patch):
    """A `classifier` is loaded only into the class that the checkpoint was saved from."""
    from transformers import modeling_utils

    real = modeling_utils.convert_and_load_state_dict_in_model

    def changed(*, model, state_dict, **kwargs):
        if type(model).__name__ not in (model.config.architectures or ()):
            state_dict = {key: it for key, it in state_dict.items() if not key.startswith("classifier.")}
        return real(model=model, state_dict=state_dict, **kwargs)

    patch.setattr(modeling_utils, "convert_and_load_state_dict_in_model", changed)


@lie(
    "heads.every-class.other-size", "heads.every-class.multiple-choice", "weights.explicit-config-skips.misfit-refused"
)
def other_sizes_are_ignored(patch):
    """Parameters of another shape are made anew, as if `ignore_mismatched_sizes=True` were given."""
    from transformers import modeling_utils

    real = modeling_utils.log_state_dict_report

    def changed(*args, ignore_mismatched_sizes, **kwargs):
        real(*args, ignore_mismatched_sizes=True, **kwargs)

    patch.setattr(modeling_utils, "log_state_dict_report", changed)


@lie("heads.base-ignores-head.hidden-states")
def hidden_states_end_too_early(patch):
    """A masked-LM returns its hidden states without those of the last layer."""
    from transformers import BertForMaskedLM

    real = BertForMaskedLM.forward

    @functools.wraps(real)
    def changed(self, *args, **kwargs):
        outputs = real(self, *args, **kwargs)
        if outputs.hidden_states is not None:
            outputs.hidden_states = outputs.hidden_states[:-1]
        return outputs

    patch.setattr(BertForMaskedLM, "forward", changed)


# --- how random values are drawn --------------------------------------------------------------------------------------


@lie(
    "heads.classifier-random.normal",
    "heads.every-class.classifier-normal",
    "init.config-is-random.normal",
)
def normal_values_are_cut_off(patch):
    """Values beyond two standard deviations are drawn again."""
    from transformers import initialization

    def cut(tensor, mean=0.0, std=1.0, generator=None):
        return initialization.trunc_normal_(tensor, mean, std, mean - 2 * std, mean + 2 * std, generator)

    patch.setattr(initialization, "normal_", cut)


@lie("heads.classifier-random.initializer-range", "init.config-is-random.initializer-range")
def initializer_range_is_ignored(patch):
    """BERT draws its values 0.02 wide whatever the config says."""
    from transformers.models.bert.modeling_bert import BertPreTrainedModel

    real = BertPreTrainedModel._init_weights

    def changed(self, module):
        given, self.config.initializer_range = self.config.initializer_range, 0.02
        real(self, module)
        self.config.initializer_range = given

    patch.setattr(BertPreTrainedModel, "_init_weights", changed)


@lie("heads.classifier-random.bias", "init.config-is-random.every-parameter", "weights.random-then-loaded")
def biases_are_drawn_too(patch):
    """The bias of a dense layer is drawn like its weights."""
    import torch
    from transformers import PreTrainedModel, initialization

    real = PreTrainedModel._init_weights

    def changed(self, module):
        real(self, module)
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            initialization.normal_(module.bias, std=0.02)

    patch.setattr(PreTrainedModel, "_init_weights", changed)


@lie("heads.every-class.classifier-normal.t5")
def t5_draws_its_classifier_like_others(patch):
    """T5's new classification head is drawn 0.02 wide."""
    from transformers import initialization
    from transformers.models.t5.modeling_t5 import T5ClassificationHead, T5PreTrainedModel

    real = T5PreTrainedModel._init_weights

    def changed(self, module):
        real(self, module)
        if isinstance(module, T5ClassificationHead):
            initialization.normal_(module.out_proj.weight, std=0.02)

    patch.setattr(T5PreTrainedModel, "_init_weights", changed)


# --- from_config ------------------------------------------------------------------------------------------------------


@lie(
    "init.config-is-random",
    "init.config-is-random.no-weights",
    "init.config-is-random.no-request",
)
def from_config_loads_weights(patch):
    """`from_config` loads the weights of the checkpoint that the config came from."""

    def trained(model):
        try:
            return type(model).from_pretrained(model.config.name_or_path).train()
        except (OSError, ValueError):
            return None

    after_making(patch, trained)


@lie("init.config-is-random.repeats")
def from_config_forgets_the_seed(patch):
    """`from_config` draws from the system's entropy, whatever the seed."""
    import torch

    @contextlib.contextmanager
    def unseeded():
        with torch.random.fork_rng(devices=[]):
            torch.seed()
            yield
        torch.rand(1)

    around_making(patch, unseeded)


@lie("init.config-is-random.moves-generator", "init.config-is-random")
def from_config_leaves_the_generator_alone(patch):
    """`from_config` puts the global random state back."""
    import torch

    around_making(patch, lambda: torch.random.fork_rng(devices=[]))


@lie("init.config-is-random.training-mode")
def from_config_ends_in_evaluation_mode(patch):
    """A random model is in evaluation mode, as a loaded one."""
    after_making(patch, lambda model: model.eval())


@lie("init.config-is-random.tied-decoder")
def from_config_forgets_to_tie(patch):
    """In a random model the decoder has weights of its own."""
    import torch

    def untie(model):
        decoder = model.get_output_embeddings()
        if decoder is not None:
            decoder.weight = torch.nn.Parameter(torch.randn_like(decoder.weight) * 0.02)

    after_making(patch, untie)


@lie("init.config-is-random.same-architecture", "init.config-is-random.every-class")
def from_config_has_a_position_too_few(patch):
    """A random BERT has one position fewer than its config says."""
    import torch
    from transformers import PreTrainedModel

    real = PreTrainedModel._from_config.__func__

    def changed(cls, config, **kwargs):
        model = real(cls, config, **kwargs)
        if config.model_type == "bert":
            embeddings = model.base_model.embeddings
            table = embeddings.position_embeddings
            table.weight = torch.nn.Parameter(table.weight[:-1].detach())
        return model

    patch.setattr(PreTrainedModel, "_from_config", classmethod(changed))


@lie("init.config-is-random.config-untouched")
def from_config_writes_into_the_config(patch):
    """`from_config` turns the cache off in the config that it is given."""
    from transformers import PreTrainedModel

    real = PreTrainedModel._from_config.__func__

    def changed(cls, config, **kwargs):
        model = real(cls, config, **kwargs)
        config.use_cache = False
        return model

    patch.setattr(PreTrainedModel, "_from_config", classmethod(changed))


@lie(
    "init.config-is-random.normal",
    "init.config-is-random.initializer-range",
    "init.config-is-random.loss-of-chance",
    "init.config-is-random.every-parameter",
    also=["config.other-items", "config.other-items.initializer-range"],
)
def from_config_leaves_what_torch_draws(patch):
    """A random model keeps the values that torch draws when a layer is made."""
    from transformers import PreTrainedModel

    patch.setattr(PreTrainedModel, "init_weights", lambda self: self.tie_weights(recompute_mapping=False))
