"""Slides 18 to 26 on the lecture's own model id; with `--hub real` on the published bert-base-uncased itself."""

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from fixtures.checkpoints import SAMPLE_CONFIG

pytestmark = pytest.mark.real_hub


@pytest.mark.claim("config.model-type")
def test_config_is_bert_config(bert_base_uncased):
    """The config of `bert-base-uncased` is a `BertConfig` of `transformers.models.bert.configuration_bert`."""
    config = AutoConfig.from_pretrained(bert_base_uncased)

    assert (type(config).__name__, type(config).__module__) == (
        "BertConfig",
        "transformers.models.bert.configuration_bert",
    )


@pytest.mark.claim("config.sample-is-base-uncased")
def test_config_is_the_printed_one(bert_base_uncased, evidence):
    """The vocabulary size that slide 20 prints is that of the model."""
    config = AutoConfig.from_pretrained(bert_base_uncased)

    evidence["vocab_size"] = config.vocab_size
    assert config.vocab_size == SAMPLE_CONFIG["vocab_size"]


@pytest.mark.claim("tokenize.ids")
def test_ids_at_the_ends(bert_base_uncased):
    """A sentence begins with 101 and ends with 102."""
    tokenizer = AutoTokenizer.from_pretrained(bert_base_uncased)

    input_ids = tokenizer("the first sentence")["input_ids"]

    assert (input_ids[0], input_ids[-1]) == (101, 102)


@pytest.mark.claim("heads.base-ignores-head")
def test_base_model_has_no_head(bert_base_uncased):
    """Under `AutoModel` nothing of the masked-LM head is in the model."""
    model = AutoModel.from_pretrained(bert_base_uncased)

    assert not [name for name in model.state_dict() if name.startswith("cls.")]


@pytest.mark.claim("heads.classifier-random")
def test_classifier_is_new(bert_base_uncased, evidence):
    """Under `AutoModelForSequenceClassification` the classifier is not among the stored parameters."""
    _, info = AutoModelForSequenceClassification.from_pretrained(bert_base_uncased, output_loading_info=True)

    evidence["missing"] = sorted(info["missing_keys"])
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}


@pytest.mark.claim("inference.shapes")
def test_logits_for_each_token(bert_base_uncased):
    """One distribution over the vocabulary for each token of the text."""
    tokenizer = AutoTokenizer.from_pretrained(bert_base_uncased)
    model = AutoModelForMaskedLM.from_pretrained(bert_base_uncased)
    inputs = tokenizer("这家餐厅味道真不错！", return_tensors="pt")  # noqa: RUF001

    with torch.no_grad():
        probabilities = torch.nn.functional.softmax(model(**inputs).logits, dim=-1)

    assert probabilities.shape == (*inputs["input_ids"].shape, model.config.vocab_size)
    assert torch.allclose(probabilities.sum(-1), torch.ones(inputs["input_ids"].shape), atol=1e-4)
