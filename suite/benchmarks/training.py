"""What is compared in a training step: Trainer, a bare PyTorch loop of the same, and settings.

Each is a function that does a number of steps and returns, so that they can run in turns.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from fixtures import checkpoints, spelling
from suite.benchmarks import forms

PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def base_config() -> Any:
    """The config of `bert-base-uncased`: 12 layers, 768 wide, 30,522 entries."""
    return BertConfig(vocab_size=30_522)


def tiny_config() -> Any:
    """Two layers, 32 wide: a step that a CPU does in milliseconds."""
    return BertConfig(**checkpoints.config("bert", "masked-lm"))


@dataclass(frozen=True)
class Settings:
    """One way to train. The first values are the lecture's (slides 37 to 41), which leave the rest at its defaults."""

    precision: str = "fp32"
    batch: int = 16
    length: int = 128
    attention: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    marked: bool = False
    reference: bool = False

    def with_options(self, **options: Any) -> Settings:
        """The same with other keywords for `TrainingArguments`."""
        return replace(self, options=self.options | options)


class Waiting:
    """A loader that adds up how long its batches are waited for, in `seconds`."""

    def __init__(self, loader: Any) -> None:
        self._loader, self.seconds = loader, 0.0

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        while True:
            started = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - started
            yield batch

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def model(config: Any, settings: Settings, device: str) -> Any:
    """A model with random parameters, as slide 40 makes it. `config` stays as it is."""
    torch.manual_seed(0)
    kernel = {} if settings.attention is None else {"attn_implementation": settings.attention}
    # A model reads its attention kernel from its config at each step: with one config, the last made decides for all.
    own = copy.deepcopy(config)
    # Made where it is used: 110 million numbers, drawn in one host thread, take a second.
    with contextlib.nullcontext() if device == "cpu" else torch.device(device):
        return AutoModelForMaskedLM.from_config(own, **kernel).to(device)


def rows(config: Any, settings: Settings) -> forms.Rows:
    """A dataset of rows as Trainer serves them; `marked`: with the column that says what is never masked."""
    ids = forms.blocks(max(256, settings.batch), settings.length, config.vocab_size)
    return forms.Rows(forms.batch("lists" if settings.marked else "unmarked", ids))


def collator(tokenizer: Any, settings: Settings) -> Any:
    """The library's, or the reference."""
    if settings.reference:
        from suite.benchmarks.reference import ReferenceCollator

        return ReferenceCollator(tokenizer)
    return DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15)


class PacedTrainer:
    """A Trainer that does a number of steps when told, and waits in between.

    It runs in a thread of its own, which stands still at the end of a step unless a block is under way: so the loop
    that is measured is `Trainer.train`, and no loop like it. Use it as a context; `wait_share` is that of the last
    block.
    """

    def __init__(
        self, config: Any, settings: Settings, tokenizer: Any, folder: Path, device: str, steps: int = 5
    ) -> None:
        self._config, self._settings, self._tokenizer, self._folder = config, settings, tokenizer, folder
        self._device, self._steps, self.wait_share = device, steps, 0.0
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._left, self._ended = 0, False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._waiting: Waiting | None = None
        self.trainer: Any = None

    def __enter__(self) -> PacedTrainer:
        settings = self._settings
        # Releases before 5 leave the precision and the compiler of an earlier Trainer there, for all later ones.
        for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
            del os.environ[name]
        arguments = TrainingArguments(
            output_dir=str(self._folder),
            max_steps=forms.Rows.LENGTH // settings.batch,
            learning_rate=2e-5,
            weight_decay=0.01,
            per_device_train_batch_size=settings.batch,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=not settings.marked,
            **{spelling.cpu(): self._device == "cpu"},
            **({settings.precision: True} if settings.precision != "fp32" else {}),
            **settings.options,
        )
        self.trainer = Trainer(
            model=model(self._config, settings, self._device),
            args=arguments,
            train_dataset=rows(self._config, settings),
            data_collator=collator(self._tokenizer, settings),
            callbacks=[_Pause(self)],
        )
        self.trainer.remove_callback(PrinterCallback)
        if (accelerator := getattr(self.trainer, "accelerator", None)) is not None:
            # All Accelerators of a process share one state, in which the last one's precision stands.
            accelerator.state.__dict__ = dict(accelerator.state.__dict__)
        make = self.trainer.get_train_dataloader

        def waited_for() -> Any:
            loader = make()
            # Accelerate's loader copies batches to the device, and waits there for the step before: that is no data.
            inner = getattr(loader, "base_dataloader", None)
            self._waiting = Waiting(loader if inner is None else inner)
            if inner is None:
                return self._waiting
            loader.base_dataloader = self._waiting
            return loader

        self.trainer.get_train_dataloader = waited_for
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._go.release()
        self._thread.join(timeout=60)
        # An error holds the frames it came through, and with them a step's activations.
        self.trainer = self._waiting = self._error = None

    def settle(self) -> None:
        """Use up what workers have collated while nobody asked: two batches each, DataLoader's default."""
        if workers := self.trainer.args.dataloader_num_workers:
            self._do(2 * workers)

    def __call__(self) -> None:
        """Do a block of steps. Raises what the Trainer raised."""
        self._do(self._steps)

    def _do(self, steps: int) -> None:
        if self._error is None and not self._thread.is_alive():
            raise RuntimeError("Trainer has done all its steps: nobody would answer")
        before, started = (self._waiting.seconds if self._waiting else 0.0), time.perf_counter()
        self._left = steps
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error
        waited = self._waiting.seconds - before if self._waiting else 0.0
        self.wait_share = min(1.0, waited / (time.perf_counter() - started))

    def _train(self) -> None:
        self._go.acquire()
        try:
            if not self._ended:
                if self._device == "cuda":
                    torch.cuda.set_device(self.trainer.args.device)  # a thread begins on the first GPU
                self.trainer.train()
        except BaseException as error:
            self._error = error
        self._done.release()

    def at_end_of_step(self, control: Any) -> None:
        """Called by Trainer in its thread."""
        self._left -= 1
        if self._left <= 0:
            if self._device == "cuda":
                torch.cuda.synchronize()
            self._done.release()
            self._go.acquire()
        if self._ended:
            control.should_training_stop = True


class _Pause(TrainerCallback):  # type: ignore[misc]
    def __init__(self, paced: PacedTrainer) -> None:
        self._paced = paced

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._paced.at_end_of_step(control)


class BareLoop:
    """The same training without Trainer: loader, autocast, scaled gradients, clipping, AdamW, linear schedule.

    `resident`: with the batches on the device beforehand, which takes the data side away.
    """

    def __init__(
        self,
        config: Any,
        settings: Settings,
        tokenizer: Any,
        device: str,
        steps: int = 5,
        fused: bool = False,
        resident: bool = False,
    ) -> None:
        self._settings, self._device, self._steps, self.wait_share = settings, device, steps, 0.0
        self._model = model(config, settings, device)
        self._model.train()
        decayed = [it for it in self._model.parameters() if it.ndim > 1]  # Trainer leaves out biases and norms, too
        others = [it for it in self._model.parameters() if it.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        # `False` would also forbid the kernels for many tensors at once that torch, and Trainer, take by default.
        self._optimizer = torch.optim.AdamW(groups, lr=2e-5, fused=fused or None)
        most = forms.Rows.LENGTH
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: max(0.0, 1 - step / most))
        self._scaler = torch.amp.GradScaler(device, enabled=settings.precision == "fp16")
        loader = DataLoader(
            rows(config, settings),
            batch_size=settings.batch,
            shuffle=True,
            collate_fn=collator(tokenizer, settings),
            pin_memory=device == "cuda",
            drop_last=True,
        )
        self._waiting = Waiting(loader)
        if resident:
            batches = iter(loader)
            kept = [self._moved(next(batches)) for _ in range(4)]
            self._batches: Iterator[Any] = (kept[place % 4] for place in range(10**9))
        else:
            self._batches = iter(self._waiting)

    def _moved(self, batch: Any) -> dict[str, torch.Tensor]:
        names = ("input_ids", "attention_mask", "labels")
        return {name: batch[name].to(self._device, non_blocking=True) for name in names}

    def __call__(self) -> None:
        """Do a block of steps."""
        before, started = self._waiting.seconds, time.perf_counter()
        for _ in range(self._steps):
            self._step(self._moved(next(self._batches)))
        if self._device == "cuda":
            torch.cuda.synchronize()
        self.wait_share = min(1.0, (self._waiting.seconds - before) / (time.perf_counter() - started))

    def _step(self, batch: dict[str, torch.Tensor]) -> None:
        dtype = PRECISIONS[self._settings.precision]
        with torch.autocast(self._device, dtype=dtype) if dtype else contextlib.nullcontext():
            loss = self._model(**batch).loss
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        self._optimizer.zero_grad()


def tuned(printed: Settings, device: str, compiles: bool) -> list[tuple[str, Settings]]:
    """The printed settings, then a set that is tuned step by step: each change stands on top of those before.

    The steps start below what recent releases do without being asked (another attention kernel, a fused optimizer), so
    that these show, too.
    """
    steps: list[tuple[str, Callable[[Settings], Settings]]] = [
        ("sdpa attention", lambda it: replace(it, attention="sdpa")),
        ("fused optimizer", lambda it: it.with_options(optim="adamw_torch_fused")),
        ("special_tokens_mask kept", lambda it: replace(it, marked=True)),
        ("reference collator", lambda it: replace(it, reference=True)),
        ("2 workers", lambda it: it.with_options(dataloader_num_workers=2, dataloader_pin_memory=device == "cuda")),
    ]
    if compiles:
        steps.append(("compile", lambda it: it.with_options(torch_compile=True)))
    settings = replace(printed, attention="eager").with_options(optim="adamw_torch")
    found = [("as printed", printed), ("eager attention, plain AdamW", settings)]
    for name, change in steps:
        settings = change(settings)
        found.append((f"+ {name}", settings))
    return found
