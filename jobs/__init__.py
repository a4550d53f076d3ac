"""Commands, one module each; `lesionlab <command>` and `python -m jobs.<command>` are the same."""
