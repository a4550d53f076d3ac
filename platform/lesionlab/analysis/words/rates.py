"""Words of learning rates that were chosen within the training studies."""

CHOSEN_RATES = "Learning rates, chosen within the training studies"
COLUMNS = ("Model", "Fold", "Chosen rate", "Studies")
F1_AT = "Mean F1 on the training studies at rate"
CHOSEN_NOTE = (
    "Both arms have the same list of rates and the same search. For a network, each rate was judged on its training "
    "studies by the networks of the other folds, which were not trained on them; its test studies took no part. Those "
    "other networks were trained on some of its test studies, so a little may leak. Studies: with a value of F1."
)
