"""Does the choice pay? Samples, scorers, metrics and the runs that use them."""
