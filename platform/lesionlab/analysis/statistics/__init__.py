"""Rows of a study in; every number of its analysis out, and what they say in words."""
