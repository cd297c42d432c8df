"""The families of the sample: what each problem asks, solves and draws. Importing this package fills `FAMILIES`."""

from . import algorithms, mathematics, pipelines, structures, texts  # noqa: F401
from .core import FAMILIES, Family, Variant

__all__ = ["FAMILIES", "Family", "Variant"]
