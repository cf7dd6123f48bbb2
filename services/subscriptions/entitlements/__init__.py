"""The features that a customer, and each holder of a seat, may use."""
