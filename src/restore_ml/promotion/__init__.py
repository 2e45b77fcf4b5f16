"""Which model is a task's champion: the rule, its evidence, and the folders that champions lie in."""
