"""From the text of registry.yaml to checked values, and the words for what is wrong with it."""
