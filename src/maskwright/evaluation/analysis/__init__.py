"""Error analysis: which mistakes there are, what they cost, and where to look."""
