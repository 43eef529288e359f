"""Lies about slide 38: the training arguments."""

from __future__ import annotations

from suite.meta.lies import lie


@lie("args.accepted.learning_rate")
def forgets_learning_rate(patch):
    """The learning rate given is not the one that is used."""
    from transformers import TrainingArguments

    real = TrainingArguments.__post_init__

    def changed(self):
        self.learning_rate = 3e-5
        real(self)

    patch.setattr(TrainingArguments, "__post_init__", changed)
