"""Environments of the toolkits: their folders, their setup, and the choice of the installed toolkit."""

from erniekit_adapter.backends.environments.catalogue import ENVIRONMENTS, ToolkitEnvironment, environment_dir
from erniekit_adapter.backends.environments.making import make_environment

__all__ = ["ENVIRONMENTS", "ToolkitEnvironment", "environment_dir", "make_environment"]
