"""The zoo: integrators with one mistake each, which the rules must find, and correct ones, which they must leave alone.

`registry` lists them. Most are the reference integrator with one part replaced (`altered`); the others are built on
`base`, which shares nothing with it.
"""
