"""Fine-tune ERNIE 4.5 models on a team's financial documents, natively on PaddlePaddle, and serve them."""

__version__ = "0.1.0"
