"""The workers: one folder each, alone with its tables and its subjects."""
