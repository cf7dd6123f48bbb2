"""The catalog: products, prices and features, declared by one document and kept in tables and in Stripe."""
