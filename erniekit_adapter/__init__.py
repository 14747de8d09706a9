"""From a team's financial documents to a fine-tuned ERNIE 4.5 model in service, natively on PaddlePaddle."""

__version__ = "0.1.0"
