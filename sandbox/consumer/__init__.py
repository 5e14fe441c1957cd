"""The consumer's side of a contract: what an integrator really uses of an API, and which changes would break it."""
