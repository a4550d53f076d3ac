"""Numbers, sheets and figures in; self-contained HTML pages out."""
