"""Cohorts that look like brains: a plan in, a BIDS dataset out."""

from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan

__all__ = ["CohortPlan", "simulate_cohort"]
