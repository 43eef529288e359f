"""Slide 38: the training arguments, in a Python script or in a shell script."""

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import HfArgumentParser, TrainingArguments

from fixtures import spelling

# A machine without a GPU, wherever this runs: CUDA reads the variable before the first call.
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def printed_keywords() -> list[str]:
    """The keywords of slide 38, in its order."""
    return [
        *("output_dir", "overwrite_output_dir"),
        *("num_train_epochs", "learning_rate", "weight_decay"),
        *("per_device_train_batch_size", "per_device_eval_batch_size"),
        *("evaluation_strategy", "save_strategy", "load_best_model_at_end"),
        "fp16",
        *("logging_steps", "report_to"),
    ]


# --- each keyword -----------------------------------------------------------------------------------------------------


@pytest.mark.claim("args.accepted")
def test_every_printed_keyword_is_taken(evidence):
    """`TrainingArguments` has each of the thirteen printed keywords."""
    taken = inspect.signature(TrainingArguments).parameters
    evidence["refused"] = [keyword for keyword in printed_keywords() if keyword not in taken]
    assert evidence["refused"] == []


@pytest.mark.correction("args.accepted")
def test_what_replaced_it_is_taken(evidence):
    """Every release takes the printed keywords under today's name, but for the one about overwriting."""
    taken = inspect.signature(TrainingArguments).parameters
    evidence["refused"] = sorted(set(printed_keywords()) - set(taken))
    assert set(evidence["refused"]) <= {"overwrite_output_dir", "evaluation_strategy"}
    assert spelling.evaluation_strategy() in taken


@pytest.mark.claim("args.accepted.output_dir")
def test_output_dir():
    """The folder arrives as it was given."""
    assert TrainingArguments(output_dir="./bert-wikitext2-mlm").output_dir == "./bert-wikitext2-mlm"


@pytest.mark.claim("args.accepted.overwrite_output_dir")
def test_overwrite_output_dir():
    """It can be said that the folder may be overwritten."""
    arguments = TrainingArguments(output_dir="./bert-wikitext2-mlm", overwrite_output_dir=True)
    assert arguments.overwrite_output_dir is True


@pytest.mark.correction("args.accepted.overwrite_output_dir")
def test_a_used_folder_is_taken_anyway(tmp_path):
    """A folder with files in it is accepted without the keyword, and left as it is."""
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert TrainingArguments(output_dir=str(tmp_path)).output_dir == str(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "notes.txt"]


@pytest.mark.claim("args.accepted.num_train_epochs")
def test_num_train_epochs(tmp_path):
    """The number of epochs arrives; three is also what no number means."""
    for number in (3, 1):
        assert TrainingArguments(output_dir=str(tmp_path), num_train_epochs=number).num_train_epochs == number


@pytest.mark.claim("args.accepted.learning_rate")
def test_learning_rate(tmp_path):
    """The learning rate arrives."""
    assert TrainingArguments(output_dir=str(tmp_path), learning_rate=2e-5).learning_rate == 2e-5


@pytest.mark.claim("args.accepted.weight_decay")
def test_weight_decay(tmp_path):
    """The weight decay arrives."""
    assert TrainingArguments(output_dir=str(tmp_path), weight_decay=0.01).weight_decay == 0.01


@pytest.mark.claim("args.accepted.per_device_train_batch_size")
def test_per_device_train_batch_size(tmp_path):
    """The batch size arrives, and is what the training batches are made of: times the number of GPUs, if any."""
    arguments = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=16)
    assert arguments.per_device_train_batch_size == 16
    assert arguments.train_batch_size == 16 * max(1, arguments.n_gpu)


@pytest.mark.claim("args.accepted.per_device_eval_batch_size")
def test_per_device_eval_batch_size(tmp_path):
    """The batch size of the evaluation arrives, and leaves that of the training alone."""
    arguments = TrainingArguments(output_dir=str(tmp_path), per_device_eval_batch_size=16)
    assert arguments.per_device_eval_batch_size == 16
    assert arguments.eval_batch_size == 16 * max(1, arguments.n_gpu)
    assert arguments.per_device_train_batch_size == 8


@pytest.mark.claim("args.accepted.evaluation_strategy")
def test_evaluation_strategy(tmp_path):
    """Evaluation once per epoch is asked for with `evaluation_strategy`."""
    assert TrainingArguments(output_dir=str(tmp_path), evaluation_strategy="epoch").evaluation_strategy == "epoch"


@pytest.mark.correction("args.accepted.evaluation_strategy")
def test_eval_strategy(tmp_path):
    """Evaluation once per epoch is asked for with `eval_strategy`."""
    assert TrainingArguments(output_dir=str(tmp_path)).eval_strategy == "no"
    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        eval_strategy="epoch",
    )
    assert training_args.eval_strategy == "epoch"


@pytest.mark.claim("args.accepted.save_strategy")
def test_save_strategy(tmp_path):
    """Saving once per epoch is asked for with `save_strategy`; it is not the default."""
    assert TrainingArguments(output_dir=str(tmp_path)).save_strategy == "steps"
    assert TrainingArguments(output_dir=str(tmp_path), save_strategy="epoch").save_strategy == "epoch"


@pytest.mark.claim("args.accepted.load_best_model_at_end")
def test_load_best_model_at_end(tmp_path):
    """Loading the best model at the end can be asked for; the best is the one with the lowest loss."""
    # The strategies have to agree (`args.best-needs-match`); by default there is no evaluation.
    arguments = TrainingArguments(output_dir=str(tmp_path), save_strategy="no", load_best_model_at_end=True)
    assert arguments.load_best_model_at_end is True
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == ("loss", False)


@pytest.mark.claim("args.accepted.fp16")
def test_fp16(fresh_process):
    """Half precision can be asked for, on a machine without a GPU, too."""

    def construct():
        from transformers import TrainingArguments

        return TrainingArguments(output_dir="./bert-wikitext2-mlm", fp16=True).fp16

    assert fresh_process(construct, env=NO_GPU) is True


@pytest.mark.correction("args.accepted.fp16")
def test_fp16_where_there_is_a_gpu(fresh_process):
    """Asked for only where there is a GPU, half precision is accepted everywhere, and absent without one."""

    def construct():
        import torch
        from transformers import TrainingArguments

        return TrainingArguments(output_dir="./bert-wikitext2-mlm", fp16=torch.cuda.is_available()).fp16

    assert fresh_process(construct, env=NO_GPU) is False


@pytest.mark.claim("args.accepted.logging_steps")
def test_logging_steps(tmp_path):
    """The number of steps between two log entries arrives; the strategy that counts steps is the default."""
    arguments = TrainingArguments(output_dir=str(tmp_path), logging_steps=100)
    assert arguments.logging_steps == 100
    assert arguments.logging_strategy == "steps"


@pytest.mark.claim("args.accepted.report_to")
def test_report_to(tmp_path):
    """ "none" leaves an empty list of places to report to; a name stays in the list."""
    assert TrainingArguments(output_dir=str(tmp_path), report_to="none").report_to == []
    assert TrainingArguments(output_dir=str(tmp_path), report_to="tensorboard").report_to == ["tensorboard"]


# --- the whole call ---------------------------------------------------------------------------------------------------


def construct_as_printed():
    """Make the arguments with slide 38's call and return what a reader of them sees."""
    from transformers import TrainingArguments

    batch_size = 16

    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        overwrite_output_dir=True,
        num_train_epochs=3,
        learning_rate=2e-5,
        weight_decay=0.01,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        evaluation_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        fp16=True,
        logging_steps=100,
        report_to="none",
    )
    return training_args.to_dict() | {"device": training_args.device.type}


def construct_as_recommended():
    """Make the arguments with the call that the ledger gives instead, and return what a reader of them sees."""
    import torch
    from transformers import TrainingArguments

    batch_size = 16

    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        num_train_epochs=3,
        learning_rate=2e-5,
        weight_decay=0.01,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        fp16=torch.cuda.is_available(),
        logging_steps=100,
        report_to="none",
    )
    return training_args.to_dict() | {"device": training_args.device.type}


def construct_corrected():
    """The same on every release: the keyword for the evaluation is spelled as the release spells it."""
    import torch
    from transformers import TrainingArguments

    from fixtures import spelling

    batch_size = 16

    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        num_train_epochs=3,
        learning_rate=2e-5,
        weight_decay=0.01,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        **{spelling.evaluation_strategy(): "epoch"},
        save_strategy="epoch",
        load_best_model_at_end=True,
        fp16=torch.cuda.is_available(),
        logging_steps=100,
        report_to="none",
    )
    return training_args.to_dict() | {"device": training_args.device.type}


# What is printed and has the same name on every release.
PRINTED_VALUES = {
    "output_dir": "./bert-wikitext2-mlm",
    "num_train_epochs": 3,
    "learning_rate": 2e-5,
    "weight_decay": 0.01,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 16,
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "logging_steps": 100,
    "report_to": [],
}


@pytest.mark.claim("args.block")
def test_the_block_constructs(fresh_process):
    """The printed call gives an object with the printed values, on a machine without a GPU."""
    made = fresh_process(construct_as_printed, env=NO_GPU)
    assert {name: made[name] for name in PRINTED_VALUES} == PRINTED_VALUES


@pytest.mark.correction("args.block")
def test_the_corrected_block_constructs(fresh_process):
    """With two keywords corrected, and fp16 left to the machine, the call gives an object with the printed values."""
    made = fresh_process(construct_corrected, env=NO_GPU)
    assert {name: made[name] for name in PRINTED_VALUES} == PRINTED_VALUES
    assert made[spelling.evaluation_strategy()] == "epoch"


@pytest.mark.needs("transformers>=4.41")
@pytest.mark.correction("args.block")
def test_the_recommended_block_constructs(fresh_process):
    """The call that is recommended gives an object with the printed values."""
    made = fresh_process(construct_as_recommended, env=NO_GPU)
    assert {name: made[name] for name in PRINTED_VALUES} == PRINTED_VALUES
    assert made["eval_strategy"] == "epoch"


@pytest.mark.claim("args.block.cpu")
def test_the_block_on_a_cpu(fresh_process):
    """Without a GPU the printed call gives arguments for the CPU, in half precision."""
    made = fresh_process(construct_as_printed, env=NO_GPU)
    assert (made["device"], made["fp16"]) == ("cpu", True)


@pytest.mark.correction("args.block.cpu")
def test_the_corrected_block_on_a_cpu(fresh_process):
    """Without a GPU the corrected call gives arguments for the CPU, in full precision."""
    made = fresh_process(construct_corrected, env=NO_GPU)
    assert (made["device"], made["fp16"]) == ("cpu", False)


@pytest.mark.gpu
@pytest.mark.claim("args.block.gpu")
def test_the_block_on_a_gpu():
    """With a GPU the printed call gives arguments for it, in half precision."""
    made = construct_as_printed()
    assert (made["device"], made["fp16"]) == ("cuda", True)


@pytest.mark.gpu
@pytest.mark.correction("args.block.gpu")
def test_the_corrected_block_on_a_gpu():
    """With a GPU the corrected call gives arguments for it, in half precision."""
    made = construct_corrected()
    assert (made["device"], made["fp16"]) == ("cuda", True)


@pytest.mark.claim("args.block.corrected")
def test_a_call_for_every_release(evidence):
    """The call constructs once it is spelled as the release spells it and asks for half precision only on a GPU."""
    evidence["keyword"] = spelling.evaluation_strategy()
    training_args = TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        num_train_epochs=3,
        learning_rate=2e-5,
        weight_decay=0.01,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        **{spelling.evaluation_strategy(): "epoch"},
        save_strategy="epoch",
        load_best_model_at_end=True,
        fp16=torch.cuda.is_available(),
        logging_steps=100,
        report_to="none",
    )
    assert {name: getattr(training_args, name) for name in PRINTED_VALUES} == PRINTED_VALUES
    assert getattr(training_args, spelling.evaluation_strategy()) == "epoch"


# --- the strategies have to agree -------------------------------------------------------------------------------------


def refusal(**given):
    """The message with which these arguments are refused; None if they are taken."""
    try:
        TrainingArguments(**given)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.claim("args.best-needs-match")
@pytest.mark.parametrize(("evaluate", "save"), [("epoch", "steps"), ("steps", "epoch"), ("no", "epoch")])
def test_different_strategies_are_refused(tmp_path, evidence, evaluate, save):
    """The best model cannot be asked for where evaluation and saving follow different strategies."""
    given = {spelling.evaluation_strategy(): evaluate, "save_strategy": save}
    evidence["message"] = refusal(output_dir=str(tmp_path), **given, load_best_model_at_end=True)
    assert evidence["message"] is not None
    assert refusal(output_dir=str(tmp_path), **given) is None  # nothing else is wrong with the call


@pytest.mark.claim("args.best-needs-match.equal")
@pytest.mark.parametrize("strategy", ["epoch", "steps", "no"])
def test_equal_strategies_are_taken(tmp_path, strategy):
    """The best model can be asked for where evaluation and saving follow the same strategy."""
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        **{spelling.evaluation_strategy(): strategy},
        save_strategy=strategy,
        load_best_model_at_end=True,
    )
    assert arguments.load_best_model_at_end is True


@pytest.mark.claim("args.best-needs-match.one-left-out")
@pytest.mark.parametrize("given", ["evaluation", "saving"])
def test_one_strategy_alone_is_refused(tmp_path, evidence, given):
    """One of the two printed lines alone is not enough: the default of the other does not match it."""
    keyword = spelling.evaluation_strategy() if given == "evaluation" else "save_strategy"
    evidence["message"] = refusal(output_dir=str(tmp_path), **{keyword: "epoch"}, load_best_model_at_end=True)
    assert evidence["message"] is not None


@pytest.mark.claim("args.best-needs-match.multiple")
def test_saving_steps_are_a_multiple_of_evaluation_steps(tmp_path, evidence):
    """Where both count steps, every saved model has to be an evaluated one: 200 and 100 will do, 150 and 100 not."""

    both_count = {spelling.evaluation_strategy(): "steps", "save_strategy": "steps", "eval_steps": 100}
    assert refusal(output_dir=str(tmp_path), **both_count, save_steps=200, load_best_model_at_end=True) is None
    evidence["message"] = refusal(output_dir=str(tmp_path), **both_count, save_steps=150, load_best_model_at_end=True)
    assert evidence["message"] is not None


def accepted_pairs(folder):
    """The pairs of evaluation and saving strategy that differ and are taken together with the best model."""
    saving = [member.value for member in type(TrainingArguments(output_dir=folder).save_strategy)]
    accepted = []
    for evaluate in ("no", "steps", "epoch"):
        for save in saving:
            given = {spelling.evaluation_strategy(): evaluate, "save_strategy": save}
            refused = refusal(output_dir=folder, **given, load_best_model_at_end=True) is not None
            if evaluate != save and not refused:
                accepted.append([evaluate, save])
    return accepted


@pytest.mark.claim("args.best-needs-match.every-pair")
def test_every_pair_of_different_strategies_is_refused(tmp_path, evidence):
    """No two different strategies go with the best model."""
    evidence["accepted"] = accepted_pairs(str(tmp_path))
    assert evidence["accepted"] == []


@pytest.mark.correction("args.best-needs-match.every-pair")
def test_saving_the_best_needs_no_match(tmp_path):
    """`save_strategy="best"` goes with every evaluation strategy, and nothing else differs."""
    assert accepted_pairs(str(tmp_path)) == [["no", "best"], ["steps", "best"], ["epoch", "best"]]


# --- from a shell -----------------------------------------------------------------------------------------------------


def shell_line():
    """Slide 38's arguments as flags, without the two that a release may have under another name, and fp16."""
    return (
        "--output_dir ./bert-wikitext2-mlm --num_train_epochs 3 --learning_rate 2e-5 --weight_decay 0.01 "
        "--per_device_train_batch_size 16 --per_device_eval_batch_size 16 "
        f"--{spelling.evaluation_strategy()} epoch --save_strategy epoch --load_best_model_at_end True "
        "--logging_steps 100 --report_to none"
    ).split()


def in_python():
    """The same arguments as `shell_line`, given in Python."""
    return TrainingArguments(
        output_dir="./bert-wikitext2-mlm",
        num_train_epochs=3,
        learning_rate=2e-5,
        weight_decay=0.01,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        **{spelling.evaluation_strategy(): "epoch"},
        save_strategy="epoch",
        load_best_model_at_end=True,
        logging_steps=100,
        report_to="none",
    )


def differences(one, other):
    """Field -> both values, as text, for each field that two arguments do not share."""
    fields = {field.name for field in dataclasses.fields(one)}
    # Where it is not given, older releases put the second of its construction into the logging folder's name.
    fields.discard("logging_dir")
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in sorted(fields)}
    return {name: [repr(value) for value in pair] for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.claim("args.from-shell")
def test_a_command_line_gives_an_equal_object(evidence):
    """The flags of a command line are parsed into arguments that equal those made in Python, in every field."""
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(shell_line())
    evidence["fields"] = len(dataclasses.fields(parsed))
    evidence["different"] = differences(parsed, in_python())
    assert evidence["different"] == {}


@pytest.mark.claim("args.from-shell.booleans")
@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (["--load_best_model_at_end"], True),
        (["--load_best_model_at_end", "True"], True),
        (["--load_best_model_at_end", "true"], True),
        (["--load_best_model_at_end", "False"], False),
        ([], False),
    ],
    ids=["bare", "True", "true", "False", "absent"],
)
def test_booleans(flag, expected):
    """A switch can stand alone, or be followed by True or False."""
    line = ["--output_dir", "out", "--save_strategy", "no", *flag]
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(line)
    assert parsed.load_best_model_at_end is expected


@pytest.mark.claim("args.from-shell.unknown-refused")
def test_an_unknown_flag_is_refused(evidence):
    """A flag that no argument has is refused, not dropped."""
    parser = HfArgumentParser(TrainingArguments)
    try:
        parsed = parser.parse_args_into_dataclasses([*shell_line(), "--batch_size", "16"])
    except ValueError as error:
        parsed, evidence["message"] = None, str(error)
    assert parsed is None


@pytest.mark.claim("args.from-shell.printed-flags")
def test_the_printed_names_are_flags():
    """Each keyword of the slide is a flag of the same name."""
    flags = ["--output_dir=out", "--overwrite_output_dir=True", "--evaluation_strategy=epoch", "--save_strategy=epoch"]
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(flags)
    assert parsed.evaluation_strategy == "epoch"


@pytest.mark.correction("args.from-shell.printed-flags")
def test_the_flags_have_todays_names():
    """The flags are today's keywords."""
    flags = ["--output_dir=out", "--eval_strategy=epoch", "--save_strategy=epoch"]
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(flags)
    assert (parsed.eval_strategy, parsed.save_strategy) == ("epoch", "epoch")


TODAYS_COMMAND = r"""
python train.py \
    --output_dir ./bert-wikitext2-mlm \
    --eval_strategy epoch \
    --save_strategy epoch
"""


@pytest.mark.correction("args.from-shell.printed-flags")
def test_the_command_with_todays_names(tmp_path):
    """A shell that is given the command gives a script flags that are taken."""
    (tmp_path / "train.py").write_text("import json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", TODAYS_COMMAND], cwd=tmp_path, env=os.environ | path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    (parsed,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses(json.loads(ended.stdout))
    assert parsed.output_dir == "./bert-wikitext2-mlm"
    assert (parsed.eval_strategy, parsed.save_strategy) == ("epoch", "epoch")


@pytest.mark.claim("args.from-shell.json")
def test_a_json_file_gives_an_equal_object(tmp_path, evidence):
    """The arguments can stand in a JSON file."""
    file = tmp_path / "arguments.json"
    file.write_text(
        json.dumps(
            {
                "output_dir": "./bert-wikitext2-mlm",
                "num_train_epochs": 3,
                "learning_rate": 2e-5,
                "weight_decay": 0.01,
                "per_device_train_batch_size": 16,
                "per_device_eval_batch_size": 16,
                spelling.evaluation_strategy(): "epoch",
                "save_strategy": "epoch",
                "load_best_model_at_end": True,
                "logging_steps": 100,
                "report_to": "none",
            }
        )
    )
    (parsed,) = HfArgumentParser(TrainingArguments).parse_json_file(json_file=str(file))
    evidence["different"] = differences(parsed, in_python())
    assert evidence["different"] == {}


def write_yaml(file: Path, learning_rate: str) -> None:
    """Write slide 38's numbers, as typed there but for the line of the learning rate, into a YAML file."""
    file.write_text(
        "output_dir: ./bert-wikitext2-mlm\n"
        "num_train_epochs: 3\n"
        f"{learning_rate}\n"
        "weight_decay: 0.01\n"
        "load_best_model_at_end: true\n"
        "save_strategy: 'no'\n"
    )


@pytest.mark.claim("args.from-shell.yaml")
def test_a_yaml_file_gives_the_printed_learning_rate(tmp_path, evidence):
    """The arguments can stand in a YAML file as they are printed."""
    write_yaml(tmp_path / "arguments.yaml", "learning_rate: 2e-5")
    (parsed,) = HfArgumentParser(TrainingArguments).parse_yaml_file(yaml_file=str(tmp_path / "arguments.yaml"))
    evidence["learning_rate"] = repr(parsed.learning_rate)
    assert parsed.learning_rate == 2e-5


@pytest.mark.correction("args.from-shell.yaml")
def test_yaml_wants_a_point_in_the_learning_rate(tmp_path):
    """In YAML 2e-5 is a text, which no one converts; 2.0e-5 is a number, and the rest arrives as typed."""
    write_yaml(tmp_path / "text.yaml", "learning_rate: 2e-5")
    (parsed,) = HfArgumentParser(TrainingArguments).parse_yaml_file(yaml_file=str(tmp_path / "text.yaml"))
    assert parsed.learning_rate == "2e-5"
    write_yaml(tmp_path / "number.yaml", "learning_rate: 2.0e-5")
    (parsed,) = HfArgumentParser(TrainingArguments).parse_yaml_file(yaml_file=str(tmp_path / "number.yaml"))
    assert parsed.learning_rate == 2e-5
    assert (parsed.num_train_epochs, parsed.weight_decay, parsed.load_best_model_at_end) == (3, 0.01, True)


@pytest.mark.slow
@pytest.mark.claim("args.from-shell.script")
def test_a_bash_script_gives_the_printed_values(tmp_path, evidence):
    """A bash script that starts a Python script with flags gives it the printed values."""
    program = tmp_path / "train.py"
    program.write_text(
        "from transformers import HfArgumentParser, TrainingArguments\n"
        "(arguments,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses()\n"
        "print('JSON', arguments.to_json_string().replace(chr(10), ' '))\n"
    )
    script = tmp_path / "train.sh"
    flags = " \\\n    ".join(
        f"{name} {value}" for name, value in zip(shell_line()[::2], shell_line()[1::2], strict=True)
    )
    script.write_text(f"{sys.executable} {program} \\\n    {flags}\n")
    evidence["script"] = flags
    ended = subprocess.run(["bash", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("JSON ")]
    made = json.loads(line.removeprefix("JSON "))
    assert {name: made[name] for name in PRINTED_VALUES} == PRINTED_VALUES
