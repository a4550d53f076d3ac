"""Numbers in; tables as people read them out: CSV, Markdown, HTML and plain text."""
