"""Analyse result rows and predictions: statistics, tables, figures and one report."""
