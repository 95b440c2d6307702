"""One package a function: each reconciles one concern and knows nothing of the others."""
