"""The five services as a person meets them: one connection with her token, what there is to see, and what can be done."""
