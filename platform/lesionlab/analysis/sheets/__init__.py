"""Lay results out as tables: CSV, Markdown, HTML and plain text. All wording comes from words."""
