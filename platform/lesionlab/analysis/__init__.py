"""The statistics job: result rows and predictions in; tests, tables, figures and one report out."""
