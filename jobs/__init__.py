"""The front door: one module a stage; `python -m jobs.<stage>` and `lesionlab <stage>` are the same."""
