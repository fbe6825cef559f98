"""The rules of tips: what an order's tips should be, whether they are to be held, and what is to be written."""
