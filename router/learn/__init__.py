"""Fitting the judge: from examples, from outcomes and from use."""
