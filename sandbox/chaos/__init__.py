"""Chaos: run a plan against an integrator, judge what happened, search for plans that fail, shrink and save them."""
