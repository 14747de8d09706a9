"""Run in ERNIEKit's environment: print the tokens that its data set puts before each answer.

Usage: training_prompts.py MODEL_DIR REQUESTS.jsonl. Each request gets a fixed answer. Prints JSON: id to tokens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ernie.dataset.finetuning import SequenceDataset, process_example
from ernie.tokenizer import Ernie4_5_Tokenizer


def main() -> None:
    folder, requests = sys.argv[1:]
    reader = SequenceDataset.__new__(SequenceDataset)  # its constructor needs a data set
    reader.tokenizer = Ernie4_5_Tokenizer.from_pretrained(folder)
    reader.max_seq_len = 4096
    reader.end_of_response_id = reader.tokenizer._convert_token_to_id(["<|end_of_sentence|>"])[0]
    reader.begin_token_id = reader.tokenizer._convert_token_to_id(["<|begin_of_sentence|>"])[0]
    tokens = {}
    for line in Path(requests).read_text(encoding="utf-8").splitlines():
        request = json.loads(line)
        data = {"src": [request["request"]], "tgt": ['{"total": "12.00"}']}
        if "system" in request:
            data["system"] = request["system"]
        sequence = reader._postprocess_sequence(process_example(data, ""), 1)
        # The loss begins at the last prompt token, which predicts the first one of the answer.
        assert sequence.labels[-1] == reader.tokenizer.eos_token_id
        tokens[request["id"]] = sequence.token_ids[: sequence.loss_mask.index(1) + 1]
    print(json.dumps(tokens))


main()
