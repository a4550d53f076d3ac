"""Tests, confidence intervals and models of plain values; they know nothing of studies or networks."""
