"""Numbers and volumes in; figures out. Readable in grey, axes with units, the same bytes each time."""
