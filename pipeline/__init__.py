"""How rows are made: sources, models, recipes, judge, sinks, and the cluster that runs them."""
