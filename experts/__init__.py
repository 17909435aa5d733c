"""Who can answer: experts, what they are made of, and how each is reached."""
