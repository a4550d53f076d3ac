"""Simulate BIDS datasets of brain MRI from a cohort plan."""

from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan

__all__ = ["CohortPlan", "simulate_cohort"]
