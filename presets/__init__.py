"""The catalogue: which models there are, what they need, and which instance types have it."""

from presets.catalogue import (
    FOLDER,
    FOLDER_VARIABLE,
    Catalogue,
    CatalogueError,
    ModelPreset,
    Needs,
    Sku,
    installed,
    load,
    shortfall,
)

__all__ = [
    "FOLDER",
    "FOLDER_VARIABLE",
    "Catalogue",
    "CatalogueError",
    "ModelPreset",
    "Needs",
    "Sku",
    "installed",
    "load",
    "shortfall",
]
