"""What operations mean, read from paths, methods and schemas; and which business object a call is about."""

from sandbox.inference.collections import parameter_of
from sandbox.inference.key import Addressed, business_key
from sandbox.inference.meaning import (
    Action,
    Argument,
    Collection,
    Correction,
    Meaning,
    Parent,
    Place,
    Route,
)
from sandbox.inference.reading import Inference
from sandbox.inference.schemas import Schema, fields_of, required_of

__all__ = [
    "Action",
    "Addressed",
    "Argument",
    "Collection",
    "Correction",
    "Inference",
    "Meaning",
    "Parent",
    "Place",
    "Route",
    "Schema",
    "business_key",
    "fields_of",
    "parameter_of",
    "required_of",
]
