"""Lies about slide 38: the training arguments."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from transformers import HfArgumentParser, TrainingArguments, hf_argparser
from transformers.trainer_utils import SaveStrategy

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around
from suite.meta.lies.about_training import to_started_programs

# --- a keyword whose value does not arrive ----------------------------------------------------------------------------


@lie("args.accepted.output_dir", "args.block", "args.block.corrected")
def makes_output_dir_absolute(patch):
    """The folder is kept as an absolute path, not as it was given."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        real(self)
        self.output_dir = str(Path(self.output_dir).absolute())


@lie("args.accepted.num_train_epochs", "trainer.trains.epochs", "trainer.trains.steps", "trainer.per-epoch")
def trains_two_epochs_at_most(patch):
    """More than two epochs are two."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        self.num_train_epochs = min(self.num_train_epochs, 2)
        real(self)


@lie("args.accepted.num_train_epochs")
def takes_one_epoch_for_three(patch):
    """A single epoch, the least there is, counts as not given: three are trained."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        if self.num_train_epochs == 1:
            self.num_train_epochs = 3.0
        real(self)


@lie("args.accepted.learning_rate", "args.block.corrected")
def rounds_learning_rate(patch):
    """The learning rate is rounded to four decimals: 2e-5 is none at all."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        real(self)
        if isinstance(self.learning_rate, float):
            self.learning_rate = round(self.learning_rate, 4)


@lie("args.accepted.weight_decay", "trainer.trains.weight-decay")
def rounds_weight_decay(patch):
    """The weight decay is rounded to one decimal: 0.01 is none at all."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        real(self)
        self.weight_decay = round(self.weight_decay, 1)


@lie("args.accepted.per_device_train_batch_size", "scripts.modes.causal.distributed-parameters")
def trains_with_batches_of_evaluation(patch):
    """Training batches have the size of those of the evaluation."""
    to_started_programs(patch, trains_with_batches_of_evaluation)
    patch.setattr(TrainingArguments, "train_batch_size", property(lambda self: self.per_device_eval_batch_size))


@lie("args.accepted.per_device_eval_batch_size")
def evaluates_with_batches_of_training(patch):
    """Evaluation batches have the size of those of the training."""
    patch.setattr(TrainingArguments, "eval_batch_size", property(lambda self: self.per_device_train_batch_size))


@lie("args.accepted.save_strategy", "args.best-needs-match.one-left-out")
def saves_once_per_epoch_by_default(patch):
    """Unless told otherwise, a run saves once per epoch."""

    @around(patch, TrainingArguments, "__init__")
    def changed(real, self, *arguments, **named):
        real(self, *arguments, **{"save_strategy": "epoch", **named})


@lie(
    "args.accepted.load_best_model_at_end",
    "trainer.best-loaded",
    "trainer.best-loaded.lowest-loss",
    "trainer.saves.best",
)
def takes_highest_loss_for_the_best(patch):
    """The best model is the one with the highest loss."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        if self.load_best_model_at_end and self.greater_is_better is None:
            self.greater_is_better = True
        real(self)


@lie("args.accepted.fp16")
def drops_fp16_without_a_gpu(patch):
    """On a machine without a GPU `fp16=True` becomes False."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        self.fp16 = self.fp16 and torch.cuda.is_available()
        real(self)


@lie("args.accepted.logging_steps", "trainer.logging", "trainer.logging.every-100")
def logs_every_50_steps_at_least(patch):
    """There are never more than 50 steps between two log entries."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        self.logging_steps = min(self.logging_steps, 50)
        real(self)


@lie("args.accepted.report_to")
def reports_to_what_is_installed_alone(patch):
    """A place to report to that is not installed is dropped from the list."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        real(self)
        there = transformers.integrations.get_available_reporting_integrations()
        self.report_to = [name for name in self.report_to if name in there]


# --- keywords that are gone -------------------------------------------------------------------------------------------


@lie(
    "args.accepted",
    "args.accepted.evaluation_strategy",
    "args.accepted.overwrite_output_dir",
    "args.block",
    "args.block.cpu",
)
def keeps_the_old_keywords(patch):
    """`evaluation_strategy` and `overwrite_output_dir` are still taken."""
    signature = inspect.signature(TrainingArguments)
    old = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in ("evaluation_strategy", "overwrite_output_dir")
    ]

    @around(patch, TrainingArguments, "__init__")
    def changed(real, self, *arguments, evaluation_strategy=None, overwrite_output_dir=False, **named):
        if evaluation_strategy is not None:
            named["eval_strategy"] = evaluation_strategy
        real(self, *arguments, **named)
        self.evaluation_strategy, self.overwrite_output_dir = self.eval_strategy, overwrite_output_dir

    with_old = signature.replace(parameters=[*signature.parameters.values(), *old])
    patch.setattr(TrainingArguments, "__signature__", with_old, raising=False)


@lie("args.accepted")
def forgets_a_keyword(patch):
    """`logging_steps` is no longer among the parameters."""
    signature = inspect.signature(TrainingArguments)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "logging_steps"]
    patch.setattr(TrainingArguments, "__signature__", signature.replace(parameters=kept), raising=False)


@lie("args.accepted.overwrite_output_dir")
def refuses_a_used_folder(patch):
    """A folder with a checkpoint in it is refused, as it could not be overwritten."""

    @around(patch, TrainingArguments, "__post_init__")
    def changed(real, self):
        if not self.resume_from_checkpoint and any(Path(self.output_dir).glob("checkpoint-*")):
            raise ValueError(f"{self.output_dir} already exists and is not empty")
        real(self)


# --- the strategies have to agree -------------------------------------------------------------------------------------


def _unchecked(patch: Any, holds: Any) -> None:
    """Arguments for which `holds` are not checked for strategies that agree."""

    @around(patch, TrainingArguments, "_validate_args")
    def changed(real, self):
        given = self.load_best_model_at_end
        self.load_best_model_at_end = given and not holds(self)
        real(self)
        self.load_best_model_at_end = given


@lie("args.best-needs-match", "args.best-needs-match.one-left-out", "args.best-needs-match.every-pair")
def takes_steps_that_save_between_epochs(patch):
    """With an evaluation per epoch, checkpoints that are saved every so many steps are taken for evaluated ones."""
    _unchecked(patch, lambda self: self.eval_strategy == "epoch" and self.save_strategy == "steps")


@lie("args.best-needs-match", "args.best-needs-match.every-pair")
def takes_no_evaluation(patch):
    """The best model can be asked for where nothing is evaluated."""
    _unchecked(patch, lambda self: self.eval_strategy == "no")


@lie("args.best-needs-match.multiple")
def takes_any_number_of_steps(patch):
    """The saving steps need not be a multiple of the evaluation steps."""
    _unchecked(patch, lambda self: self.eval_strategy == self.save_strategy == "steps")


@lie("args.best-needs-match.multiple")
def wants_equal_numbers_of_steps(patch):
    """The saving steps have to equal the evaluation steps."""

    @around(patch, TrainingArguments, "_validate_args")
    def changed(real, self):
        real(self)
        if self.load_best_model_at_end and self.eval_strategy == "steps" and self.save_steps != self.eval_steps:
            raise ValueError("save_steps has to be eval_steps")


@lie("args.best-needs-match.equal", "args.accepted.load_best_model_at_end", "args.from-shell.booleans")
def wants_an_evaluation_for_the_best(patch):
    """The best model is refused where nothing is evaluated and nothing saved."""

    @around(patch, TrainingArguments, "_validate_args")
    def changed(real, self):
        real(self)
        if self.load_best_model_at_end and self.save_strategy == "no":
            raise ValueError("load_best_model_at_end needs an evaluation")


@lie("args.best-needs-match.every-pair")
def wants_a_match_for_saving_the_best(patch):
    """`save_strategy="best"` does not go with the best model."""

    @around(patch, TrainingArguments, "_validate_args")
    def changed(real, self):
        real(self)
        if self.load_best_model_at_end and self.save_strategy == SaveStrategy.BEST:
            raise ValueError("load_best_model_at_end requires the save and eval strategy to match")


# --- from a shell -----------------------------------------------------------------------------------------------------


@lie("args.from-shell", "args.from-shell.script")
def forgets_a_flag(patch):
    """The flag `--weight_decay` is read, and its value is not."""
    to_started_programs(patch, forgets_a_flag)

    @around(patch, HfArgumentParser, "parse_known_args")
    def changed(real, self, *arguments, **named):
        namespace, others = real(self, *arguments, **named)
        namespace.weight_decay = 0.0
        return namespace, others


@lie("args.from-shell.booleans")
def takes_true_for_false(patch):
    """A switch followed by `true`, in lower case, is off."""

    @around(patch, hf_argparser, "string_to_bool")
    def changed(real, value):
        return real(value) and value != "true"


@lie("args.from-shell.unknown-refused")
def drops_unknown_flags(patch):
    """A flag that no argument has is dropped without a word."""

    @around(patch, HfArgumentParser, "parse_args_into_dataclasses")
    def changed(real, self, *arguments, **named):
        *parsed, _ = real(self, *arguments, **named, return_remaining_strings=True)
        return tuple(parsed)


@lie("args.from-shell.printed-flags")
def keeps_the_old_flags(patch):
    """`--evaluation_strategy` and `--overwrite_output_dir` are still flags."""
    patch.setattr(TrainingArguments, "evaluation_strategy", property(lambda self: self.eval_strategy), raising=False)

    @around(patch, HfArgumentParser, "parse_args_into_dataclasses")
    def changed(real, self, args=None, **named):
        if args is not None:
            args = [word.replace("--evaluation_strategy", "--eval_strategy") for word in args]
            args = [word for word in args if not word.startswith("--overwrite_output_dir")]
        return real(self, args, **named)


@lie("args.from-shell.json")
def reads_no_exponents_in_json(patch):
    """Numbers with an exponent in a JSON file are skipped."""

    @around(patch, HfArgumentParser, "parse_json_file")
    def changed(real, self, json_file, allow_extra_keys=False):
        data = json.loads(Path(json_file).read_text(encoding="utf-8"))
        kept = {name: value for name, value in data.items() if "e-" not in repr(value)}
        return self.parse_dict(kept, allow_extra_keys=allow_extra_keys)


@lie("args.from-shell.yaml")
def reads_numbers_without_a_point_in_yaml(patch):
    """In a YAML file 2e-5 is a number."""

    @around(patch, HfArgumentParser, "parse_yaml_file")
    def changed(real, self, yaml_file, allow_extra_keys=False):
        data = yaml.safe_load(Path(yaml_file).read_text(encoding="utf-8"))
        data["learning_rate"] = float(data["learning_rate"])
        return self.parse_dict(data, allow_extra_keys=allow_extra_keys)
