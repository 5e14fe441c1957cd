"""Specs as people publish them."""
