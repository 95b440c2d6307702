"""Recordings of functions: read, shown and decided again."""
