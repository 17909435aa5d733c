"""Making experts and the encoder: quantise, measure, write the card. Needs packages that serving does not."""
