"""Figures, measured side by side in one run: absolute times differ from machine to machine, ratios hardly."""
