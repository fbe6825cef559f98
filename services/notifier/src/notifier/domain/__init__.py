"""The rules of notifying: what is said, to whom, in which form, how often, and what an outcome means. Pure: no I/O, no clock."""
