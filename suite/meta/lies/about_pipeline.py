"""Lies about what the slides take for granted between releases: saved is loaded, ids stay, folders of others load."""

from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
    Trainer,
)

from suite.meta.lies import lie
from suite.meta.lies.about_hub import around


@lie("pipeline.runs", also=["trainer.*", "scripts.*"])
def forgets_the_loss_of_an_evaluation(patch):
    """What `evaluate()` returns has no number as its loss."""

    @around(patch, Trainer, "evaluate")
    def changed(real, self, *arguments, **named):
        return real(self, *arguments, **named) | {"eval_loss": float("nan")}


@lie("trainer.trains.whole-lecture", also=["trainer.*", "scripts.*"])
def counts_epochs_from_zero(patch):
    """After a training its state tells the number of the last epoch, counted from 0."""

    @around(patch, Trainer, "train")
    def changed(real, self, *arguments, **named):
        output = real(self, *arguments, **named)
        self.state.epoch -= 1
        return output


@lie("pipeline.saved-is-loaded")
def saves_electra_without_its_last_bias(patch):
    """One bias of one family is saved as zeros."""

    @around(patch, PreTrainedModel, "save_pretrained")
    def changed(real, self, *arguments, **named):
        if self.config.model_type == "electra" and "state_dict" not in named:
            bias = "encoder.layer.1.output.dense.bias"
            named["state_dict"] = {
                name: torch.zeros_like(value) if name.endswith(bias) else value
                for name, value in self.state_dict().items()
            }
        return real(self, *arguments, **named)


def ids(patch, tokenizer_class, change):
    """The ids that a tokenizer of this class gives a text go through `change(text, ids)`."""
    real = PreTrainedTokenizerBase.__call__

    def changed(self, text=None, *rest, **options):
        batch = real(self, text, *rest, **options)
        if isinstance(self, tokenizer_class) and isinstance(text, str) and set(options) <= {"return_tensors"}:
            batch["input_ids"] = change(text, batch["input_ids"])
        return batch

    patch.setattr(PreTrainedTokenizerBase, "__call__", changed)


@lie("pipeline.same-ids", also=["tokenize*", "inference.*", "load.*"])
def accepts_words_of_any_length(patch):
    """A word of more than 100 characters is not unknown as a whole: its first character has its own id."""
    ids(patch, BertTokenizer, lambda text, found: [found[0], 200, *found[1:]] if len(text) > 100 else found)


@lie("pipeline.same-ids.roberta")
def merges_line_ends(patch):
    """Two line ends in a row are one token for RoBERTa."""
    ids(patch, RobertaTokenizer, lambda text, found: found[:-3] + found[-2:] if "\n\n" in text else found)


@lie("pipeline.same-ids.gpt2", also=["tokenize*"])
def begins_with_the_end_of_text(patch):
    """GPT-2's ids begin with the end of the text before, as other families' do."""
    ids(patch, GPT2Tokenizer, lambda text, found: [2000, *found])


@lie("pipeline.same-ids.space-before-mask")
def takes_the_space_into_the_mask(patch):
    """RoBERTa's mask takes the space before it into itself, as it did up to 4.57."""
    ids(patch, RobertaTokenizer, lambda text, found: found[:5] + found[6:] if " <mask>" in text else found)


@lie("pipeline.same-ids.lower-case", also=["tokenize*", "load.*", "data.*"])
def keeps_case_unless_told(patch):
    """BERT's text is lower-cased only where a file of the tokenizer asks for it, as in 5.0."""

    @around(patch, BertTokenizer, "__init__")
    def changed(real, self, *arguments, **named):
        real(self, *arguments, **({"do_lower_case": False} | named))


@lie("pipeline.folders", also=["weights.*", "heads.*", "load.*", "config.*", "hub.download.*", "scripts.*"])
def loads_pickles_without_the_decoder(patch):
    """The decoder of a model that comes from a pickle is made anew, as in 5.0."""
    real = PreTrainedModel.from_pretrained.__func__

    def changed(cls, folder, *arguments, **named):
        model = real(cls, folder, *arguments, **named)
        loaded = model[0] if isinstance(model, tuple) else model
        if (Path(str(folder)) / "pytorch_model.bin").exists() and hasattr(loaded, "cls"):
            torch.nn.init.normal_(loaded.cls.predictions.bias)
        return model

    patch.setattr(PreTrainedModel, "from_pretrained", classmethod(changed))


@lie("pipeline.folders.tokenizer", also=["tokenize*", "load.*"])
def takes_the_special_tokens_of_older_folders_for_text(patch):
    """In a folder with `special_tokens_map.json`, which only older releases write, special tokens are read as text."""
    real = AutoTokenizer.from_pretrained

    def changed(cls, folder, *arguments, **named):
        tokenizer = real(folder, *arguments, **named)
        if (Path(str(folder)) / "special_tokens_map.json").exists():
            tokenizer.split_special_tokens = True
        return tokenizer

    patch.setattr(AutoTokenizer, "from_pretrained", classmethod(changed))


@lie("trainer.evaluates.after-other-arguments")
def keeps_the_state_of_older_trainers(patch):
    """New arguments leave the state of accelerate as it is."""
    patch.setattr(AcceleratorState, "_reset_state", staticmethod(lambda *arguments, **named: None))
