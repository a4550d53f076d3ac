"""The front door: one module a stage; `python -m jobs.<stage>` and `lesionlab <stage>` are the same."""

# Ray reads its environment when it is imported, and this sets it first: loopback only, a random token, no reports home.
import lesionlab.training  # noqa: F401
