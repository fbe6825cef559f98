"""Payment providers: what each promises about keys and look-ups, and the calls to them."""
