"""Render numbers, tables and figures as self-contained HTML pages."""
