"""The front door: one module a command; `python -m jobs.<command>` and `lesionlab <command>` are the same."""
