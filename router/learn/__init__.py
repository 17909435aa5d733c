"""Fitting the judge: from examples now, from outcomes and certificates later."""
