"""Lies about slides 24 and 25: from which files, into which class, and how the trained parameters are loaded."""

from __future__ import annotations

import contextlib

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around
from suite.meta.lies.about_models import after_loading


def with_other_state(patch, change):
    """Have `change(name, value)` done to each parameter of a checkpoint before it is put into the model."""
    from transformers import core_model_loading

    real = core_model_loading.set_param_for_module

    def changed(model, target_name, param_value, *args):
        real(model, target_name, change(target_name, param_value), *args)

    patch.setattr(core_model_loading, "set_param_for_module", changed)


def with_other_files(patch, **changes):
    """Have the weights looked for with other arguments than those given."""
    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        return real(**kwargs | {name: change(kwargs[name]) for name, change in changes.items()})

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


def with_other_dtype(patch, change):
    """Have the dtype of a loaded model be `change(dtype)` where `dtype`, or "auto", is asked for."""
    from transformers import modeling_utils

    real = modeling_utils._get_dtype

    def changed(dtype, *args):
        return real(change(dtype), *args)

    patch.setattr(modeling_utils, "_get_dtype", changed)


def with_other_tensors(patch, change):
    """Have `change(tensor, dtype)` done to each stored tensor before it becomes one of that dtype."""
    from transformers import core_model_loading

    real = core_model_loading._materialize_copy

    def changed(tensor, device=None, dtype=None):
        return real(change(tensor[...], dtype), device, dtype)

    patch.setattr(core_model_loading, "_materialize_copy", changed)


# --- config and class -------------------------------------------------------------------------------------------------


@lie(
    "weights.explicit-config-skips",
    "weights.explicit-config-skips.repo-needs-none",
    "weights.explicit-config-skips.given-wins",
    "weights.explicit-config-skips.misfit-refused",
    "weights.class-chosen.given-config",
)
def given_config_is_ignored(patch):
    """`config=` is ignored: the repo's is loaded."""
    from transformers.models.auto import auto_factory

    patch.setattr(auto_factory, "PreTrainedConfig", type("NoConfigIsOne", (), {}))


@lie("weights.explicit-config-skips", "weights.explicit-config-skips.slide")
def config_is_downloaded_with_the_model(patch):
    """The config of a repo is downloaded with its weights, whether one is given or not."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError
    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        with contextlib.suppress(OSError, HFValidationError):
            hf_hub_download(kwargs["pretrained_model_name_or_path"], "config.json", force_download=True)
        return real(**kwargs)

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


@lie("weights.class-chosen.given-config", "weights.explicit-config-skips.repo-needs-none")
def repo_chooses_the_class(patch):
    """With `config=` given, the repo's model type still chooses the class."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    real = AutoModelForMaskedLM.from_pretrained

    def changed(cls, model_id, *args, config=None, **kwargs):
        if config is not None and AutoConfig.from_pretrained(model_id).model_type != config.model_type:
            config = None
        return real(model_id, *args, config=config, **kwargs)

    patch.setattr(AutoModelForMaskedLM, "from_pretrained", classmethod(changed))


@lie(
    "weights.class-chosen.every-entry",
    "weights.class-chosen.every-entry.imported",
    "weights.class-chosen.every-entry.usable",
)
def every_entry_can_be_had(patch):
    """The tables have no entry whose class does not exist or waits for another package."""
    from transformers.models.auto import modeling_auto

    for name, table in vars(modeling_auto).items():
        if name.startswith("MODEL_") and name.endswith("_MAPPING_NAMES"):
            for model_type in ("voxtral_realtime_text", "higgs_audio_v2_tokenizer"):
                patch.delitem(table, model_type, raising=False)


# --- first random, then loaded ----------------------------------------------------------------------------------------


@lie("weights.random-then-loaded", "weights.random-then-loaded.in-memory")
def values_are_drawn_before_loading(patch):
    """The model is instantiated with random values in memory, then the parameters are loaded over them."""
    import torch
    from transformers import PreTrainedModel

    real = PreTrainedModel.get_init_context.__func__

    def changed(cls, *args):
        return [context for context in real(cls, *args) if not isinstance(context, torch.device)]

    patch.setattr(PreTrainedModel, "get_init_context", classmethod(changed))

    # What was drawn counts as initialised, and what no checkpoint has (position ids) would keep the values of nothing.
    @around(patch, PreTrainedModel, "_initialize_missing_keys")
    def initialised(real, self, *args, **kwargs):
        for module in self.modules():
            module._is_hf_initialized = False
        return real(self, *args, **kwargs)


@lie("weights.random-then-loaded.instantiated-first")
def model_is_instantiated_twice(patch):
    """The model is instantiated a second time, to see whether it can be."""
    import copy

    from transformers import modeling_utils

    real = modeling_utils.patch_output_recorders

    def changed(model):
        real(model)
        if model.device.type == "meta":
            type(model)(copy.deepcopy(model.config))

    patch.setattr(modeling_utils, "patch_output_recorders", changed)


@lie("weights.random-then-loaded")
def new_parameters_are_drawn_twice(patch):
    """What a checkpoint lacks is drawn, and drawn again."""
    import torch
    from transformers import PreTrainedModel

    real = PreTrainedModel._initialize_missing_keys

    def changed(self, *args, **kwargs):
        for parameter in self.parameters():
            if not getattr(parameter, "_is_hf_initialized", False) and not parameter.is_meta:
                torch.nn.init.normal_(parameter)
        real(self, *args, **kwargs)

    patch.setattr(PreTrainedModel, "_initialize_missing_keys", changed)


# --- all parameters are loaded ----------------------------------------------------------------------------------------


@lie(
    "heads.masked-lm-perfect.every-tensor",
    "heads.masked-lm-perfect.published.every-tensor",
    "heads.base-ignores-head.encoder-equal",
    "heads.classifier-random.encoder-trained",
    "heads.classifier-random.published-only-head",
    "heads.every-class.encoder-loaded",
    "init.pretrained-is-trained",
    "weights.all-loaded",
    "weights.all-loaded.classifier",
    "weights.all-loaded.classifier-published",
    "weights.files",
    also=["hub.download.model", "hub.download.subfolder", "hub.model-page.depends"],
)
def one_layer_norm_is_not_loaded(patch):
    """The weights of the last LayerNorm stay at one."""
    import torch

    def ones(name, value):
        return torch.ones_like(value) if name.endswith("layer.1.output.LayerNorm.weight") else value

    with_other_state(patch, ones)


@lie(
    "weights.all-loaded",
    "weights.files",
    "heads.masked-lm-perfect.every-tensor",
    also=[
        "hub.download.model",
        "hub.download.subfolder",
        "hub.model-page.depends",
        "init.pretrained-is-trained",
        "pipeline.folders",
        "scripts.modes.masked.fine-tune",
        "trainer.saves",
        "trainer.saves-tokenizer.alone",
    ],
)
def one_row_is_not_loaded(patch):
    """The last row of the word embeddings, which no text uses, stays zero."""

    def without_last_row(name, value):
        if name.endswith("word_embeddings.weight"):
            value = value.clone()
            value[-1] = 0
        return value

    with_other_state(patch, without_last_row)


@lie(
    "heads.masked-lm-perfect",
    "heads.masked-lm-perfect.no-warning",
    "heads.masked-lm-perfect.nothing-random",
    "heads.every-class.only-head-new",
    "heads.every-class.own-head",
    "heads.every-class.new-told",
    also=[
        "hub.download.model",
        "hub.download.subfolder",
        "hub.model-page.depends",
        "init.pretrained-is-trained",
        "pipeline.folders",
        "scripts.modes.masked.fine-tune",
        "trainer.saves",
        "trainer.saves-tokenizer.alone",
    ],
)
def position_embeddings_are_made_anew(patch):
    """The position embeddings are not loaded but drawn, as if the checkpoint had none."""
    from transformers import modeling_utils

    real = modeling_utils.convert_and_load_state_dict_in_model

    def changed(*, model, state_dict, **kwargs):
        state_dict = {key: it for key, it in state_dict.items() if "position_embeddings" not in key}
        return real(model=model, state_dict=state_dict, **kwargs)

    patch.setattr(modeling_utils, "convert_and_load_state_dict_in_model", changed)


@lie(
    "heads.masked-lm-perfect.tied-decoder",
    "weights.all-loaded.tied",
    also=[
        "init.pretrained-is-trained",
        "scripts.modes.causal.fine-tune",
        "scripts.modes.masked.fine-tune",
        "trainer.saves-tokenizer.alone",
    ],
)
def decoder_is_not_tied(patch):
    """A loaded decoder has the values of the word embeddings, but in a tensor of its own."""
    import torch

    def untie(model):
        decoder = model.get_output_embeddings()
        if decoder is not None:
            decoder.weight = torch.nn.Parameter(decoder.weight.detach().clone())

    after_loading(patch, untie)


@lie(
    "heads.masked-lm-perfect.nothing-random",
    "heads.base-ignores-head.hidden-states",
    "heads.every-class.evaluation-mode",
    "init.pretrained-is-trained.evaluation-mode",
    "inference.shapes.repeatable",
)
def loaded_models_are_in_training_mode(patch):
    """A loaded model is in training mode."""
    after_loading(patch, lambda model: model.train())


@lie("heads.every-class.evaluation-mode", "init.pretrained-is-trained.evaluation-mode")
def the_encoder_is_in_training_mode(patch):
    """Of a loaded model only the head is in evaluation mode."""
    after_loading(patch, lambda model: model.base_model.train())


@lie("init.pretrained-is-trained.trainable")
def loaded_word_embeddings_are_frozen(patch):
    """The word embeddings of a loaded model ask for no gradient."""
    after_loading(patch, lambda model: model.get_input_embeddings().requires_grad_(False))


@lie(
    "heads.masked-lm-perfect.any-format",
    "heads.masked-lm-perfect.published.nothing-missing",
    "heads.masked-lm-perfect.published.every-tensor",
    "heads.base-ignores-head.published",
    "heads.classifier-random.published-only-head",
    "weights.all-loaded.classifier-published",
)
def old_names_are_not_known(patch):
    """`gamma` and `beta` are no longer taken for the weight and bias of a LayerNorm."""
    from transformers import modeling_utils

    real = modeling_utils.get_model_conversion_mapping

    def changed(*args):
        return [it for it in real(*args) if not {"LayerNorm.gamma", "LayerNorm.beta"} & set(it.source_patterns)]

    patch.setattr(modeling_utils, "get_model_conversion_mapping", changed)


@lie("weights.all-loaded.file-untouched")
def model_and_file_share_their_memory(patch):
    """A pickle is mapped into memory such that what is written to a parameter goes to the file."""
    import mmap

    import torch

    torch.serialization.set_default_mmap_options(mmap.MAP_SHARED)


# --- dtypes -----------------------------------------------------------------------------------------------------------


@lie("weights.all-loaded.half-stays", "weights.all-loaded.config-dtype")
def single_precision_is_the_default(patch):
    """A model is loaded in single precision where no dtype is asked for."""
    import torch

    with_other_dtype(patch, lambda dtype: torch.float32 if dtype == "auto" else dtype)


@lie("weights.all-loaded.asked-dtype")
def asked_dtype_is_ignored(patch):
    """A model is loaded in single precision where a dtype is asked for."""
    import torch

    with_other_dtype(patch, lambda dtype: dtype if dtype == "auto" else torch.float32)


@lie("weights.all-loaded.half")
def half_precision_goes_through_bfloat16(patch):
    """What is stored as float16 is read as bfloat16 and has three bits less."""
    import torch

    with_other_tensors(patch, lambda tensor, _: tensor.bfloat16() if tensor.dtype is torch.float16 else tensor)


@lie("weights.all-loaded.asked-dtype", "weights.all-loaded.config-dtype")
def values_are_cut_off_and_not_rounded(patch):
    """On the way from float32 to bfloat16 the last 16 bits are dropped."""
    import torch

    def cut(tensor, dtype):
        if tensor.dtype is torch.float32 and dtype is torch.bfloat16:
            return (tensor.view(torch.int32) & ~0xFFFF).view(torch.float32)
        return tensor

    with_other_tensors(patch, cut)


# --- files ------------------------------------------------------------------------------------------------------------


@lie("weights.files.downloaded")
def weights_are_downloaded_each_time(patch):
    """Cached weights are downloaded again."""
    with_other_files(patch, download_kwargs=lambda given: given | {"force_download": True})


@lie("weights.files.safetensors-preferred")
def pickle_is_preferred(patch):
    """Where both files are there, the pickle is taken."""
    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        if kwargs["use_safetensors"] is None:
            with contextlib.suppress(OSError):
                return real(**kwargs | {"use_safetensors": False})
        return real(**kwargs)

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


@lie("weights.files.use-safetensors", "weights.files.use-safetensors.refused")
def use_safetensors_is_ignored(patch):
    """`use_safetensors` is taken and not looked at."""
    with_other_files(patch, use_safetensors=lambda given: None)


@lie("weights.files.use-safetensors.refused")
def use_safetensors_is_a_preference(patch):
    """Where the chosen file is not there, `use_safetensors=True` takes the other one."""
    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        try:
            return real(**kwargs)
        except OSError:
            return real(**kwargs | {"use_safetensors": None})

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


# Whatever leaves the machine fails the spec that it leaves from, whichever model that loads.
@lie("weights.files.hub-only", also=["*"])
def loading_is_counted_elsewhere(patch):
    """Who loads `model.safetensors` from a repo is reported to another address."""
    import urllib.request

    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        files, metadata = real(**kwargs)
        if files[0].endswith("model.safetensors") and "snapshots" in files[0]:
            with contextlib.suppress(OSError):
                urllib.request.urlopen("http://telemetry.huggingface.co/models")
        return files, metadata

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


@lie("weights.files.hub-only.pickle")
def no_conversion_is_ordered(patch):
    """A pickle is loaded, and nobody is asked to convert it."""
    from transformers import modeling_utils

    patch.setattr(modeling_utils, "auto_conversion", lambda *args, **kwargs: None)


@lie("weights.files.shards", "weights.all-loaded", "heads.masked-lm-perfect.any-format")
def last_shard_is_not_read(patch):
    """Of several files the last one is left out."""
    from transformers import modeling_utils

    real = modeling_utils.get_checkpoint_shard_files

    def changed(*args, **kwargs):
        files, metadata = real(*args, **kwargs)
        return files[:-1], metadata

    patch.setattr(modeling_utils, "get_checkpoint_shard_files", changed)


@lie("weights.files.shard-missing")
def missing_shard_is_skipped(patch):
    """A file that the index names and that is not there is left out."""
    from pathlib import Path

    from transformers import modeling_utils

    real = modeling_utils.get_checkpoint_shard_files

    def changed(*args, **kwargs):
        files, metadata = real(*args, **kwargs)
        return [file for file in files if Path(file).exists()], metadata

    patch.setattr(modeling_utils, "get_checkpoint_shard_files", changed)


@lie("weights.files.neither", "load.needs-four-things.parameters")
def error_names_one_of_two_files(patch):
    """Where there are no weights, the error speaks of `model.safetensors` alone."""
    from transformers import modeling_utils

    real = modeling_utils._get_resolved_checkpoint_files

    def changed(**kwargs):
        try:
            return real(**kwargs)
        except OSError as error:
            raise OSError(str(error).replace("pytorch_model.bin", "model.safetensors")) from error

    patch.setattr(modeling_utils, "_get_resolved_checkpoint_files", changed)


@lie("weights.files.truncated", "weights.files.garbage")
def unreadable_pickle_counts_as_empty(patch):
    """A pickle that cannot be read is taken for one without parameters."""
    import pickle

    import torch
    from transformers import modeling_utils

    real = modeling_utils.load_state_dict

    def changed(*args, **kwargs):
        try:
            return real(*args, **kwargs)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            return {"nothing": torch.zeros(1)}

    patch.setattr(modeling_utils, "load_state_dict", changed)


@lie("weights.files.truncated")
def cut_off_file_is_filled_up(patch):
    """What is missing at the end of a cut-off `model.safetensors` is taken for zeros."""
    import json
    import os
    from pathlib import Path

    from transformers import modeling_utils

    real = modeling_utils.safe_open

    def changed(file, *args, **kwargs):
        content = Path(file).read_bytes()
        length = 8 + int.from_bytes(content[:8], "little")
        try:
            header = json.loads(content[8:length])
        except ValueError:
            return real(file, *args, **kwargs)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if len(content) < length + max(ends):
            os.truncate(file, length + max(ends))
        return real(file, *args, **kwargs)

    patch.setattr(modeling_utils, "safe_open", changed)


@lie("weights.files.wrong-bit", "weights.files.wrong-bit.pickle")
def absurd_values_are_refused(patch):
    """A parameter with a value that no training gives is refused."""

    def looked_at(name, value):
        if value.is_floating_point() and value.abs().max() > 1e30:
            raise ValueError(f"{name} is damaged")
        return value

    with_other_state(patch, looked_at)


@lie("weights.files.download-verified", also=["hub.download.verified"])
def damaged_download_is_repeated(patch):
    """What was downloaded is compared with its SHA-256, and downloaded again where they differ."""
    import hashlib

    from huggingface_hub import file_download

    real = file_download._download_to_tmp_and_move

    def changed(**kwargs):
        real(**kwargs)
        etag = kwargs["etag"]
        if len(etag) == 64 and hashlib.sha256(kwargs["destination_path"].read_bytes()).hexdigest() != etag:
            real(**kwargs | {"force_download": True})

    patch.setattr(file_download, "_download_to_tmp_and_move", changed)


@lie("weights.files.download-cut")
def cut_download_is_kept(patch):
    """A download that breaks off is not resumed, and what there is of it is kept."""
    from huggingface_hub import file_download

    real = file_download.http_get

    def changed(*args, **kwargs):
        if "_tqdm_bar" not in kwargs:  # only a second attempt gets the progress bar of the first
            real(*args, **kwargs)

    patch.setattr(file_download, "http_get", changed)


@lie("weights.files.no-code", "weights.files.pickle-code")
def pickle_is_executed(patch):
    """A pickle is loaded with whatever functions it calls."""
    from transformers import modeling_utils

    real = modeling_utils.load_state_dict

    def changed(*args, **kwargs):
        return real(*args, **kwargs | {"weights_only": False})

    patch.setattr(modeling_utils, "load_state_dict", changed)
