"""Checks that this machine is ready for a project; each problem comes with a hint."""

from erniekit_adapter.doctor.check import Check
from erniekit_adapter.doctor.examination import examine

__all__ = ["Check", "examine"]
