"""Payment providers: what each guarantees about keys and look-ups, and the calls to them."""
