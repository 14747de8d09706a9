"""Bytes, tokens and steps that a project needs: pure functions."""
