"""What sellers earn by invoices, and give back by refunds and disputes."""
