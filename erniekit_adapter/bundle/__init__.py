"""Bundles: export, verification and signatures."""
