"""How right an answer is: one small pure file each. An answer and its target in, a score from 0 to 1 out."""
