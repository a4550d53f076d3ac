"""Shared parts of the commands: options, stages, progress, error messages, input and output files."""
