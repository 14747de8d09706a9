"""The groups of PEFT's fields cover the installed PEFT, and every variant of LoRA is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from erniekit_adapter.layouts.peft_fields import CARRIED, CHECKED, INERT, REFUSED

pytestmark = pytest.mark.toolkit

# The saved default configuration, every field of the class, and the fields that PEFT marks as variants.
_FIELDS = """
import dataclasses, json
from peft import LoraConfig
fields = dataclasses.fields(LoraConfig)
variants = [field.name for field in fields if field.metadata.get("is_lora_variant")]
saved = {key: str(value) for key, value in LoraConfig().to_dict().items()}
print(json.dumps([[field.name for field in fields], variants, saved]))
"""


@pytest.fixture(scope="module")
def fields(run_python: Callable[..., str], transformers_python: Path) -> tuple[set[str], set[str], dict[str, str]]:
    """Return all fields of LoraConfig, those of LoRA variants, and the saved default configuration."""
    every, variants, saved = orjson.loads(run_python(transformers_python, "-c", _FIELDS).splitlines()[-1])
    return set(every), set(variants), saved


def test_every_field_of_peft_is_in_one_group(fields: tuple[set[str], set[str], dict[str, str]]) -> None:
    """A new field needs a decision: does it change the adapter's computation?"""
    every, _, saved = fields
    groups = [CHECKED, CARRIED, INERT, frozenset(REFUSED)]
    known = frozenset().union(*groups)
    assert sum(map(len, groups)) == len(known)
    assert (every | set(saved)) - known == set()
    assert known - every - set(saved) == set()


def test_every_variant_of_lora_is_refused(fields: tuple[set[str], set[str], dict[str, str]]) -> None:
    assert fields[1] >= {"use_dora", "kasa_config"}
    assert fields[1] - REFUSED.keys() == set()
