"""Plain values in; tests, intervals and models out. Nothing here knows of studies or networks."""
