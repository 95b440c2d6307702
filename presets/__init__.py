"""The catalogue: which models there are, what they need, and which instance types have it."""

from presets.catalogue import Catalogue, ModelPreset, Sku, load, shortfall

__all__ = ["Catalogue", "ModelPreset", "Sku", "load", "shortfall"]
