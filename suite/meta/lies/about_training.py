"""Lies about slides 38, 41 and 42: what `Trainer` does, alone and in a script."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import RandomSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around


def to_started_programs(patch: Any, told: Any) -> None:
    """Have a lie told in the programs that a spec starts with `subprocess.run`, too."""
    folders = [str(Path(__file__).parent / "started"), str(Path(__file__).parents[3])]

    @around(patch, subprocess, "run")
    def changed(real, *arguments, env=None, **named):
        variables = dict(os.environ if env is None else env) | {"CLAIMS_LIE": f"{told.__module__}:{told.__name__}"}
        variables["PYTHONPATH"] = os.pathsep.join([*folders, variables.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return real(*arguments, env=variables, **named)


@contextmanager
def instead(owner: Any, **values: Any) -> Any:
    """In this context the attributes of `owner` have these values."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    yield
    for name, value in before.items():
        setattr(owner, name, value)


# --- what Trainer takes -----------------------------------------------------------------------------------------------


@lie("trainer.arguments", "trainer.arguments.tokenizer")
def still_takes_tokenizer(patch):
    """`Trainer` takes `tokenizer`, as it did."""

    @around(patch, Trainer, "__init__")
    def changed(real, self, *arguments, tokenizer=None, **named):
        if tokenizer is not None:
            named["processing_class"] = tokenizer
        real(self, *arguments, **named)
        self.tokenizer = self.processing_class


@lie("trainer.arguments.tokenizer")
def copies_the_tokenizer(patch):
    """`Trainer` keeps a copy of the tokenizer."""

    @around(patch, Trainer, "__init__")
    def changed(real, self, *arguments, **named):
        real(self, *arguments, **named)
        self.processing_class = copy.deepcopy(self.processing_class)


@lie("trainer.arguments.model")
def copies_the_model(patch):
    """Without training data `Trainer` works on a copy of the model."""

    @around(patch, Trainer, "__init__")
    def changed(real, self, model=None, *arguments, **named):
        if named.get("train_dataset") is None:
            model = copy.deepcopy(model)
        real(self, model, *arguments, **named)


@lie("trainer.arguments.args")
def copies_the_arguments(patch):
    """`Trainer` works on a copy of the arguments."""

    @around(patch, Trainer, "__init__")
    def changed(real, self, model=None, args=None, *arguments, **named):
        real(self, model, copy.copy(args), *arguments, **named)


@lie(
    "trainer.arguments",
    "trainer.arguments.train_dataset",
    "trainer.trains.steps",
    "trainer.trains.epochs",
    "data.serving.last-batch",
)
def drops_the_last_training_batch(patch):
    """The last and smaller batch of an epoch is dropped."""

    @around(patch, Trainer, "get_train_dataloader")
    def changed(real, self):
        with instead(self.args, dataloader_drop_last=True):
            return real(self)


@lie("trainer.arguments.eval_dataset", "trainer.evaluates.whole-set", also=["data.serving.evaluation-order"])
def drops_the_last_evaluation_batch(patch):
    """The last and smaller batch of the validation data is dropped."""

    @around(patch, Trainer, "get_eval_dataloader")
    def changed(real, self, *arguments):
        with instead(self.args, dataloader_drop_last=True):
            return real(self, *arguments)


@lie("trainer.arguments.data_collator")
def pads_batches(patch):
    """What the collator makes is padded to a multiple of eight tokens."""

    @around(patch, Trainer, "_get_dataloader")
    def changed(real, self, *arguments, **named):
        collate = self.data_collator

        def padded(features):
            return {
                name: torch.nn.functional.pad(values, (0, -values.shape[1] % 8))
                for name, values in collate(features).items()
            }

        with instead(self, data_collator=padded):
            return real(self, *arguments, **named)


# --- the tokenizer in the checkpoint ----------------------------------------------------------------------------------


@lie("trainer.saves-tokenizer", "trainer.saves-tokenizer.alone")
def saves_the_tokenizer_at_the_end_alone(patch):
    """Checkpoints have no tokenizer; only what `save_model` is called for has one."""

    @around(patch, Trainer, "save_model")
    def changed(real, self, output_dir=None, _internal_call=False):
        with instead(self, processing_class=None if _internal_call else self.processing_class):
            real(self, output_dir, _internal_call)


@lie("trainer.saves-tokenizer.alone", "trainer.saves.tokenizer", "pipeline.runs")
def saves_all_words_but_one(patch):
    """The tokenizer that is saved lacks the last word of the vocabulary."""

    @around(patch, Trainer, "_save")
    def changed(real, self, output_dir=None, *arguments, **named):
        real(self, output_dir, *arguments, **named)
        file = Path(output_dir or self.args.output_dir) / "tokenizer.json"
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["model"]["type"] == "WordPiece":
                content["model"]["vocab"].popitem()
                file.write_text(json.dumps(content), encoding="utf-8")


@lie("trainer.saves-tokenizer.by-argument")
def saves_no_tokenizer_of_the_collator(patch):
    """Without the argument no tokenizer is saved, even where the collator has one."""

    @around(patch, Trainer, "_save")
    def changed(real, self, *arguments, **named):
        with instead(self, data_collator=None):
            real(self, *arguments, **named)


# --- train() ----------------------------------------------------------------------------------------------------------


@lie(
    "trainer.trains",
    "trainer.trains.every-parameter",
    "scripts.modes.masked.scratch",
    "scripts.modes.causal.scratch",
    "scripts.modes.masked.fine-tune",
    "scripts.modes.causal.fine-tune",
)
def forgets_gradients_before_the_step(patch):
    """The gradients are reset before the optimizer's step, not after it."""

    @around(patch, CallbackHandler, "on_pre_optimizer_step")
    def changed(real, self, *arguments, **named):
        self.model.zero_grad()
        return real(self, *arguments, **named)


@lie("trainer.trains.every-parameter")
def leaves_segment_embeddings(patch):
    """The embeddings of the two segments are not trained."""

    @around(patch, CallbackHandler, "on_pre_optimizer_step")
    def changed(real, self, *arguments, **named):
        for name, parameter in self.model.named_parameters():
            if "token_type_embeddings" in name:
                parameter.grad = None
        return real(self, *arguments, **named)


@lie(
    "trainer.trains.from-uniform",
    "scripts.modes.masked.scratch",
    "scripts.modes.causal.scratch",
    "scripts.modes.masked.loss",
    "scripts.modes.causal.loss",
)
def logs_bits(patch):
    """The loss is logged in bits, not in nats."""

    @around(patch, Trainer, "log")
    def changed(real, self, logs, *arguments):
        if "loss" in logs:
            logs["loss"] /= math.log(2)
        real(self, logs, *arguments)


@lie("trainer.trains.epochs", "trainer.trains.fresh-masks", "data.serving.every-block-once")
def draws_blocks_with_replacement(patch):
    """Each epoch draws its blocks with replacement: some come twice, others not at all."""

    @around(patch, Trainer, "_get_train_sampler")
    def changed(real, self, train_dataset=None):
        return RandomSampler(train_dataset if train_dataset is not None else self.train_dataset, replacement=True)


@lie("trainer.trains.fresh-masks")
def masks_a_block_as_before(patch):
    """Each epoch masks the same words of a block: the random numbers depend on the block alone."""

    @around(patch, Trainer, "get_train_dataloader")
    def changed(real, self):
        collate = self.data_collator

        def masked_once(features):
            batches = []
            longest = max(features, key=lambda feature: len(feature["input_ids"]))  # all have to be padded alike
            with torch.random.fork_rng():
                for feature in features:
                    torch.manual_seed(sum(feature["input_ids"]))
                    batches.append(collate([feature, longest]))
            return {name: torch.cat([batch[name][:1] for batch in batches]) for name in batches[0]}

        with instead(self, data_collator=masked_once):
            return real(self)


@lie("trainer.best-loaded.same-masks")
def begins_each_epoch_with_the_seed(patch):
    """The seed is set at the beginning of each epoch: the evaluations after them mask the same words."""

    @around(patch, CallbackHandler, "on_epoch_begin")
    def changed(real, self, args, *arguments):
        torch.manual_seed(args.seed)
        return real(self, args, *arguments)


@lie("trainer.trains.linear-decay")
def keeps_the_learning_rate(patch):
    """The learning rate is constant."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        self.lr_scheduler_type = "constant"
        real(self)


@lie("trainer.trains.linear-decay")
def plans_one_step_more(patch):
    """The schedule is made for one step more than there is: the learning rate does not reach zero."""

    @around(patch, Trainer, "create_scheduler")
    def changed(real, self, num_training_steps, *arguments, **named):
        return real(self, num_training_steps + 1, *arguments, **named)


@lie("trainer.trains.callbacks")
def keeps_the_schedule_from_callbacks(patch):
    """Callbacks are given `None` for the learning-rate schedule."""

    @around(patch, CallbackHandler, "call_event")
    def changed(real, self, *arguments, **named):
        with instead(self, lr_scheduler=None):
            return real(self, *arguments, **named)


@lie("trainer.trains.weight-decay")
def decays_layer_norms(patch):
    """The weight decay is applied to LayerNorm's weights, too."""

    @around(patch, Trainer, "get_decay_parameter_names")
    def changed(real, self, model):
        return [name for name, _ in model.named_parameters() if not name.endswith("bias")]


# --- once per epoch ---------------------------------------------------------------------------------------------------


@lie("trainer.per-epoch", "trainer.per-epoch.evaluates")
def evaluates_one_epoch_short(patch):
    """The last epoch is not evaluated."""

    @around(patch, DefaultFlowCallback, "on_epoch_end")
    def changed(real, self, args, state, control, **named):
        control = real(self, args, state, control, **named)
        control.should_evaluate = control.should_evaluate and state.epoch < args.num_train_epochs
        return control


@lie("trainer.per-epoch", "trainer.per-epoch.saves")
def keeps_two_checkpoints(patch):
    """Unless told otherwise, only the last two checkpoints are kept."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        self.save_total_limit = self.save_total_limit or 2
        real(self)


@lie("trainer.per-epoch.complete")
def saves_the_model_alone(patch):
    """What is saved once per epoch is the model, without the state of the optimizer, schedule and random numbers."""

    @around(patch, Trainer, "_save_checkpoint")
    def changed(real, self, *arguments):
        with instead(self.args, save_only_model=self.args.save_strategy == "epoch"):
            real(self, *arguments)


# --- the best model ---------------------------------------------------------------------------------------------------


@lie("trainer.best-loaded", "trainer.saves.best")
def keeps_the_last_model(patch):
    """At the end the model is the last one, not the best."""
    patch.setattr(Trainer, "_load_best_model", lambda self: None)


@lie("trainer.best-loaded", "trainer.best-loaded.lowest-loss")
def takes_the_last_checkpoint_for_the_best(patch):
    """The last checkpoint is taken for the best one."""

    @around(patch, Trainer, "_save_checkpoint")
    def changed(real, self, model, trial):
        real(self, model, trial)
        folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
        self.state.best_model_checkpoint = str(folder)


@lie("trainer.best-loaded.same-masks", "trainer.evaluates.repeats")
def evaluates_with_a_seed(patch):
    """Each evaluation begins with the seed: it masks the same words each time."""

    @around(patch, Trainer, "evaluate")
    def changed(real, self, *arguments, **named):
        with torch.random.fork_rng():
            torch.manual_seed(self.args.seed)
            return real(self, *arguments, **named)


# --- evaluate() -------------------------------------------------------------------------------------------------------


@lie("trainer.evaluates")
def leaves_the_epoch_out_of_the_results(patch):
    """What `evaluate()` returns does not name the epoch."""

    @around(patch, Trainer, "log")
    def changed(real, self, logs, *arguments):
        real(self, dict(logs), *arguments)


@lie("trainer.evaluates.leaves-model")
def evaluates_in_half_precision(patch):
    """`evaluate()` casts the parameters to half precision and back."""

    @around(patch, Trainer, "evaluate")
    def changed(real, self, *arguments, **named):
        for parameter in self.model.parameters():
            parameter.data = parameter.data.bfloat16().float()
        return real(self, *arguments, **named)


# --- save_model() -----------------------------------------------------------------------------------------------------


@lie("trainer.saves", "trainer.saves.weight-file", "trainer.saves.best")
def saves_in_half_precision(patch):
    """A folder that `save_model` is given gets the parameters in half precision."""

    @around(patch, Trainer, "save_model")
    def changed(real, self, output_dir=None, _internal_call=False):
        if output_dir is None or _internal_call:
            return real(self, output_dir, _internal_call)
        with instead(self, model=copy.deepcopy(self.model).half()):
            return real(self, output_dir, _internal_call)


@lie("trainer.saves.weight-file")
def saves_weights_in_two_formats(patch):
    """`save_model` writes `pytorch_model.bin` next to `model.safetensors`."""

    @around(patch, Trainer, "save_model")
    def changed(real, self, output_dir=None, _internal_call=False):
        real(self, output_dir, _internal_call)
        if output_dir is not None and not _internal_call:
            torch.save(self.model.state_dict(), Path(output_dir) / "pytorch_model.bin")


# --- half precision ---------------------------------------------------------------------------------------------------


@lie("trainer.fp16.cpu")
def trains_in_half_precision_on_a_cpu(patch):
    """With `fp16=True` linear layers compute in half precision on a CPU, too."""

    @around(patch, Trainer, "autocast_smart_context_manager")
    def changed(real, self, *arguments, **named):
        return torch.autocast("cpu", dtype=torch.float16, enabled=self.args.fp16)


# --- logging ----------------------------------------------------------------------------------------------------------


@lie("trainer.logging")
def logs_into_a_file(patch):
    """The log goes into a file in the run's folder, too."""

    @around(patch, Trainer, "log")
    def changed(real, self, logs, *arguments):
        real(self, logs, *arguments)
        Path(self.args.output_dir).mkdir(parents=True, exist_ok=True)
        with (Path(self.args.output_dir) / "log.jsonl").open("a") as file:
            file.write(json.dumps(logs) + "\n")


@lie("trainer.logging.every-100")
def logs_no_learning_rate(patch):
    """The learning rate is not in the log."""

    @around(patch, Trainer, "log")
    def changed(real, self, logs, *arguments):
        logs.pop("learning_rate", None)
        real(self, logs, *arguments)


@lie("trainer.logging", "trainer.logging.nothing-else")
def reports_to_all(patch):
    """`report_to="none"` reports to every service that is installed."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        if self.report_to == "none":
            self.report_to = "all"
        real(self)


@lie("trainer.logging.all")
def takes_all_for_none(patch):
    """`report_to="all"` reports to no service."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        if self.report_to == "all":
            self.report_to = "none"
        real(self)


# --- the stock workflow -----------------------------------------------------------------------------------------------


@lie("scripts.modes.causal.loss")
def counts_predicted_tokens(patch):
    """For CausalLM the sum of the losses is divided by the number of tokens that are predicted."""

    @around(patch, Trainer, "__init__")
    def changed(real, self, *arguments, **named):
        real(self, *arguments, **named)
        self._loss_shifts_labels = "LMHead" in type(self.model).__name__


@lie("scripts.modes.masked.fine-tune", "scripts.modes.causal.fine-tune")
def begins_from_scratch(patch):
    """`train()` initialises the parameters, whatever the model was given."""

    @around(patch, Trainer, "train")
    def changed(real, self, *arguments, **named):
        fresh = type(self.model)(self.model.config)
        self.model.load_state_dict(fresh.state_dict())
        return real(self, *arguments, **named)


@lie("scripts.modes.causal.resume")
def forgets_the_optimizer(patch):
    """A resumed run begins with an optimizer that has seen nothing."""

    @around(patch, Trainer, "_load_optimizer_and_scheduler")
    def changed(real, self, checkpoint):
        real(self, checkpoint)
        if checkpoint is not None:
            self.optimizer.state.clear()


@lie("scripts.modes.masked.resume")
def sees_blocks_again(patch):
    """A resumed epoch begins with its first block, not with the one after the checkpoint."""

    @around(patch, Trainer, "train")
    def changed(real, self, *arguments, **named):
        self.args.ignore_data_skip = True
        return real(self, *arguments, **named)


@lie("scripts.modes", "scripts.modes.causal.resume")
def cannot_read_the_random_state(patch):
    """A checkpoint's random state is refused by the loader of tensors."""

    @around(patch, Trainer, "_load_rng_state")
    def changed(real, self, checkpoint):
        if checkpoint is not None and any(Path(checkpoint).glob("rng_state*.pth")):
            raise pickle.UnpicklingError("Weights only load failed")
        return real(self, checkpoint)


@lie("scripts.modes.masked.distributed")
def does_not_synchronise(patch):
    """Processes that train together keep their gradients to themselves."""
    to_started_programs(patch, does_not_synchronise)

    @around(patch, Accelerator, "prepare_model")
    def changed(real, self, model, *arguments, **named):
        return model if self.num_processes > 1 else real(self, model, *arguments, **named)


@lie("scripts.modes.causal.distributed", "scripts.modes.causal.distributed-parameters")
def gives_all_blocks_to_each_process(patch):
    """Processes that train together do not share the blocks: each takes all."""
    to_started_programs(patch, gives_all_blocks_to_each_process)

    @around(patch, Accelerator, "prepare_data_loader")
    def changed(real, self, data_loader, *arguments, **named):
        return data_loader


def _logs_the_mean(patch: Any, told: Any, suffix: str) -> None:
    """In models whose class is called `...{suffix}`, the loss is not multiplied by the number of processes."""
    to_started_programs(patch, told)

    @around(patch, Trainer, "compute_loss")
    def changed(real, self, *arguments, **named):
        processes = self.accelerator.num_processes
        loss = real(self, *arguments, **named)
        return loss / processes if processes > 1 and type(self.model).__name__.endswith(suffix) else loss


@lie("scripts.modes.masked.distributed-loss")
def logs_the_mean_of_the_processes(patch):
    """For MaskedLM two processes log the mean of their losses."""
    _logs_the_mean(patch, logs_the_mean_of_the_processes, "MaskedLM")


@lie("scripts.modes.causal.distributed-loss")
def logs_the_share_of_a_process(patch):
    """For CausalLM two processes log the mean of what are shares of a whole."""
    _logs_the_mean(patch, logs_the_share_of_a_process, "LMHeadModel")


@lie("scripts.modes.distributed-resume")
def counts_anew(patch):
    """A resumed run has forgotten its steps and its log."""
    to_started_programs(patch, counts_anew)

    @around(patch, Trainer, "_init_training_state")
    def changed(real, self, max_steps, per_epoch, epochs, checkpoint, trial):
        return real(self, max_steps, per_epoch, epochs, None, trial)
