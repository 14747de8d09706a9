"""Is this machine ready for this project: a line for each thing that has to be so, with a remedy where it is not."""

from erniekit_adapter.doctor.check import Check
from erniekit_adapter.doctor.examination import examine

__all__ = ["Check", "examine"]
