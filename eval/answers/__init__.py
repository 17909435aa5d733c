"""`shoal eval answers`: every expert answers every question, every policy is replayed over what they said."""
