"""Processes of a toolkit: start, log, watch and end them, and explain their failures."""
