"""Removal of answer values that the page does not show, because training on them teaches a model to invent values."""

from data_tools.visibility.agreement import page_mismatch
from data_tools.visibility.fields import drop_unseen
from data_tools.visibility.page_text import PageText, nothing_to_read, page_text

__all__ = ["PageText", "drop_unseen", "nothing_to_read", "page_mismatch", "page_text"]
