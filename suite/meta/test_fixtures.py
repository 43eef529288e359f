"""What specs run on: the corpus, the vocabularies and the checkpoints."""

import hashlib
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from fixtures import checkpoints, corpus, vocabulary

EVERY_CHECKPOINT = [(family, head) for family, heads in checkpoints.CLASSES.items() for head in heads]


def digest(parts) -> str:
    """SHA-256 of strings or bytes in their order, the first 16 digits."""
    joined = b"\0".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(joined).hexdigest()[:16]


# The corpus


def test_the_corpus_is_the_same_on_every_machine():
    """A seed gives one text. A change of this digest changes every measured figure: change it only on purpose."""
    splits = corpus.splits(seed=0)

    assert splits == corpus.splits(seed=0)
    assert splits != corpus.splits(seed=1)
    assert digest(splits["train"] + splits["validation"] + splits["test"]) == "0af62c47ffaadf20"


def test_splits_have_the_sizes_asked_for():
    splits = corpus.splits(train=100, validation=20, test=7)

    assert {name: len(records) for name, records in splits.items()} == {"train": 100, "validation": 20, "test": 7}


def test_a_larger_corpus_begins_with_the_smaller_one():
    assert corpus.splits(train=500)["train"][:100] == corpus.splits(train=100)["train"]


def test_no_paragraph_or_title_is_in_two_splits():
    splits = corpus.splits()
    texts = {name: {record for record in records if record.strip()} for name, records in splits.items()}

    assert not texts["train"] & texts["validation"]
    assert not texts["train"] & texts["test"]
    assert not texts["validation"] & texts["test"]


def test_more_than_a_third_of_the_records_are_blank():
    records = corpus.splits()["train"]
    blank = [record for record in records if not record.strip()]

    assert 1 / 3 < len(blank) / len(records) < 0.45
    assert {"", " "} == set(blank)


def test_the_corpus_has_titles_sections_and_paragraphs():
    records = corpus.splits()["train"]
    titles = [record for record in records if record.startswith(" = ") and not record.startswith(" = = ")]
    sections = [record for record in records if record.startswith(" = = ")]
    paragraphs = [record for record in records if record.strip() and not record.startswith(" = ")]

    assert min(len(titles), len(sections), len(paragraphs)) > 20
    assert all(record.endswith(" = \n") for record in titles + sections)
    assert all(record.endswith(" . \n") for record in paragraphs)
    assert sum(paragraph.count(" . ") for paragraph in paragraphs) > 2 * len(paragraphs)


def test_text_files_have_one_record_per_line(tmp_path):
    splits = corpus.splits()
    paths = corpus.write_text(tmp_path / "text", splits)

    assert [path.name for path in paths.values()] == ["train.txt", "validation.txt", "test.txt"]
    for name, records in splits.items():
        assert paths[name].read_text().splitlines() == [record.removesuffix("\n") for record in records]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_repo_files_hold_the_corpus(form):
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    read = {"jsonl": pyarrow.json.read_json, "parquet": pyarrow.parquet.read_table}
    read["csv"] = lambda file: pyarrow.csv.read_csv(
        file, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    splits = corpus.splits()
    files = corpus.repo_files(splits, form, source=True)

    assert set(files) == {"README.md", f"train.{form}", f"validation.{form}", f"test.{form}"}
    for name, records in splits.items():
        table = read[form](io.BytesIO(files[f"{name}.{form}"]))
        assert table.column_names == ["text", "source"]
        assert table["text"].to_pylist() == records
        assert table["source"].to_pylist() == corpus.sources(records)


def test_a_repo_of_text_files_names_its_splits():
    files = corpus.repo_files(corpus.splits(), "text")

    assert "  - split: validation\n    path: validation.txt\n" in files["README.md"].decode()
    assert len(files["train.txt"].decode().splitlines()) == 600


@pytest.mark.parametrize(("form", "source"), [("xml", False), ("text", True)])
def test_unknown_repo_files_are_refused(form, source):
    with pytest.raises(ValueError, match=form):
        corpus.repo_files(corpus.splits(), form, source)


# The vocabularies


def test_the_vocabulary_has_its_size_and_the_special_ids():
    pieces = vocabulary.wordpieces()

    assert len(pieces) == len(set(pieces)) == vocabulary.WORDPIECE_SIZE == 5_000
    assert {piece: pieces.index(piece) for piece in vocabulary.SPECIAL_IDS} == vocabulary.SPECIAL_IDS
    assert pieces[1:100] == tuple(f"[unused{number}]" for number in range(99))


def test_every_ascii_character_has_a_piece():
    pieces = set(vocabulary.wordpieces())
    visible = {chr(code).lower() for code in range(33, 127)}

    assert visible <= pieces
    assert {f"##{character}" for character in visible} <= pieces


def test_some_words_of_the_corpus_are_split_into_pieces():
    pieces = set(vocabulary.wordpieces())
    words = [word.lower() for record in corpus.splits()["train"] for word in record.split()]
    split = [word for word in words if word not in pieces]

    assert 0.05 < len(split) / len(words) < 0.2


def test_the_chinese_sentence_is_known_in_part():
    sentence = "这家餐厅味道真不错！"  # noqa: RUF001
    pieces = set(vocabulary.wordpieces())

    assert [character for character in sentence if character in pieces] == list("家道真不！")  # noqa: RUF001


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_tokenizer_folders_load_with_the_ids_of_their_files(family, tmp_path):
    folder = checkpoints.write(tmp_path / "model", family, "base", with_tokenizer=True)

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    if family == "bert":
        expected = {piece: number for number, piece in enumerate(vocabulary.wordpieces())}
        assert type(tokenizer).__name__ in ("BertTokenizer", "BertTokenizerFast")
        assert tokenizer.convert_tokens_to_ids(list(vocabulary.SPECIAL_IDS)) == list(vocabulary.SPECIAL_IDS.values())
        assert tokenizer("The of AND")["input_ids"] == [101, *(expected[word] for word in ("the", "of", "and")), 102]
    else:
        expected = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        assert tokenizer.decode(tokenizer("Of the 真", add_special_tokens=False)["input_ids"]) == "Of the 真"
    assert tokenizer.get_vocab() == expected
    assert len(tokenizer) == checkpoints.config(family, "base")["vocab_size"]
    assert tokenizer.model_max_length == 512


def test_special_tokens_of_roberta_and_gpt2_stand_where_the_published_ones_do():
    roberta = json.loads(vocabulary.bpe_files("roberta")["vocab.json"])
    gpt2 = json.loads(vocabulary.bpe_files("gpt2")["vocab.json"])

    assert [roberta[token] for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, len(roberta) - 1]
    assert gpt2["<|endoftext|>"] == len(gpt2) - 1 == vocabulary.BPE_SIZE


def test_another_process_makes_the_same_vocabularies():
    """Not even the order of hashes, which differs from process to process, shows in a file."""
    code = """
import hashlib
from fixtures import vocabulary
for files in (vocabulary.wordpiece_files(), vocabulary.bpe_files("roberta"), vocabulary.bpe_files("gpt2")):
    for name, content in files.items():
        print(name, hashlib.sha256(content).hexdigest())
"""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = (vocabulary.wordpiece_files(), vocabulary.bpe_files("roberta"), vocabulary.bpe_files("gpt2"))

    assert run.stdout.splitlines() == [
        f"{name} {hashlib.sha256(content).hexdigest()}" for files in here for name, content in files.items()
    ]


# The checkpoints


@pytest.mark.parametrize(("family", "head"), EVERY_CHECKPOINT)
def test_a_checkpoint_loads_completely_under_its_class(family, head, tmp_path):
    folder = checkpoints.write(tmp_path / "model", family, head)
    model_class = getattr(transformers, checkpoints.CLASSES[family][head])

    model, loading = model_class.from_pretrained(folder, output_loading_info=True)

    assert {what: list(keys) for what, keys in loading.items() if keys} == {}
    loaded = model.state_dict()
    assert {
        name for name, trained in checkpoints.state(family, head).items() if not loaded[name].equal(trained)
    } == set()


@pytest.mark.parametrize(("family", "head"), EVERY_CHECKPOINT)
def test_no_trained_tensor_looks_freshly_initialised(family, head):
    """Initial values are constant or spread by 0.02 (gpt2, t5: other spreads); these spread by 0.058."""
    for name, tensor in checkpoints.state(family, head).items():
        centre = 1 if checkpoints._is_norm_weight(name) else 0
        assert (tensor - centre).abs().max() <= 0.1, name
        assert not ((tensor == 0) | (tensor == 1)).any(), name
        if tensor.numel() >= 1_000:
            assert tensor.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.1), name


def test_heads_of_a_family_have_the_same_encoder():
    base = checkpoints.state("gpt2", "base")
    head = checkpoints.state("gpt2", "causal-lm")

    assert all(tensor.equal(head[f"transformer.{name}"]) for name, tensor in base.items())


def test_a_checkpoint_is_the_same_on_every_machine():
    """The bytes of the files, whatever the release. A change of these digests changes every measured figure."""
    tensors = {f"{family} {name}": tensor for family in checkpoints.CLASSES for name, tensor in _every_tensor(family)}

    assert digest(f"{name} {tuple(tensors[name].shape)}" for name in sorted(tensors)) == "211ec144bada62c7"
    assert digest(tensors[name].numpy().tobytes() for name in sorted(tensors)) == "85c93e9e109bb025"


def _every_tensor(family):
    for head in checkpoints.CLASSES[family]:
        yield from ((f"{head} {name}", tensor) for name, tensor in checkpoints.state(family, head).items())


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_every_weight_format_loads_the_same_model(weights, shards, tmp_path):
    folder = checkpoints.write(tmp_path / "model", "bert", "pretraining", weights=weights, shards=shards)
    files = [path.name for path in folder.glob("*model*") if path.suffix != ".json"]

    model, loading = transformers.BertForPreTraining.from_pretrained(folder, output_loading_info=True)

    assert len(files) == shards
    assert {what: list(keys) for what, keys in loading.items() if keys} == {}
    loaded = model.state_dict()
    assert all(loaded[name].equal(trained) for name, trained in checkpoints.state("bert", "pretraining").items())


@pytest.mark.parametrize(("weights", "names"), [("safetensors", 1), ("bin", 2)])
def test_a_tied_weight_is_stored_once(weights, names, tmp_path):
    """A pickle has it under both names and nevertheless once: the file has the size of the parameters."""
    folder = checkpoints.write(tmp_path, weights=weights, with_tokenizer=False)
    file = folder / ("model.safetensors" if weights == "safetensors" else "pytorch_model.bin")
    content = file.read_bytes()
    size = 4 * sum(tensor.numel() for tensor in checkpoints.state().values())

    assert (b"word_embeddings.weight" in content) + (b"decoder.weight" in content) == names
    assert size < len(content) < size + 20_000


def test_an_index_names_every_tensor_and_its_file(tmp_path):
    folder = checkpoints.write(tmp_path, shards=4)
    index = json.loads((folder / "model.safetensors.index.json").read_text())

    assert set(index["weight_map"]) == set(checkpoints.state())
    assert sorted(set(index["weight_map"].values())) == sorted(path.name for path in folder.glob("*.safetensors"))
    assert index["metadata"]["total_size"] == 4 * sum(tensor.numel() for tensor in checkpoints.state().values())


def test_legacy_names_of_layer_norms_load(tmp_path):
    folder = checkpoints.write(tmp_path, "bert", "pretraining", legacy_names=True)
    content = (folder / "model.safetensors").read_bytes()

    model, loading = transformers.BertForPreTraining.from_pretrained(folder, output_loading_info=True)

    assert b"LayerNorm.gamma" in content
    assert b"LayerNorm.weight" not in content
    assert {what: list(keys) for what, keys in loading.items() if keys} == {}
    loaded = model.state_dict()
    assert all(loaded[name].equal(trained) for name, trained in checkpoints.state("bert", "pretraining").items())


def test_making_a_checkpoint_leaves_the_random_state_alone(tmp_path):
    checkpoints._names.cache_clear()
    before = torch.get_rng_state()

    checkpoints.write(tmp_path, "bert", "pretraining")

    assert torch.get_rng_state().equal(before)


def test_making_a_checkpoint_uses_up_no_warning():
    """A warning that is given once per process is still given after one was asked for while a model was made."""
    logger = transformers.utils.logging.get_logger("transformers.a_spec")
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger.addHandler(handler)

    with checkpoints._without_a_trace():
        logger.warning_once("in a fixture and in a spec")
    assert seen == []
    logger.warning_once("in a fixture and in a spec")

    assert seen == ["in a fixture and in a spec"]


def test_a_seed_decides_the_values():
    first, again, other = (checkpoints.state("t5", "base", seed) for seed in (0, 0, 1))

    assert all(first[name].equal(again[name]) for name in first)
    assert not any(first[name].equal(other[name]) for name in first)


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_two_calls_write_the_same_bytes(weights, tmp_path):
    one, two = (
        checkpoints.files(checkpoints.write(tmp_path / name, weights=weights, shards=2, with_tokenizer=True))
        for name in ("one", "two")
    )

    assert one == two
    assert {"config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json"} < set(one)


@pytest.mark.parametrize(
    "wrong",
    [
        {"family": "mamba"},
        {"head": "seq2seq"},
        {"weights": "gguf"},
        {"shards": 0},
        {"shards": 1_000},
        {"family": "t5", "head": "base", "legacy_names": True},
        {"family": "t5", "head": "base", "with_tokenizer": True},
    ],
    ids=str,
)
def test_a_checkpoint_that_does_not_exist_is_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=r"^no "):
        checkpoints.write(tmp_path, **wrong)


def test_the_sample_config_is_a_bert_of_the_printed_size():
    """Slide 20 prints 21 entries."""
    assert len(checkpoints.SAMPLE_CONFIG) == 21
    assert checkpoints.SAMPLE_CONFIG["vocab_size"] == 21_128
