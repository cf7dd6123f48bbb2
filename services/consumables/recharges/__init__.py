"""Units that are bought automatically when a balance runs low."""
