"""Training platform for the question: how many labelled MS studies, and does transfer help?"""

import os

# Before numpy is loaded: its matrices are small here, threads of BLAS cost more than they give (many times more where
# other processes want the cores too), and one thread adds up in one order, so that the same inputs give the same bytes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
