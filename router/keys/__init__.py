"""Who may ask: keys, what each may do, how often and for how much."""
