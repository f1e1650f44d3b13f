"""How good a model is: figures on held-out clips, beside trivial baselines."""
