"""The document (voucher) of an order: issued when it is closed, again when it changes or on demand."""
