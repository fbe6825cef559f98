"""What our books and a payment system's disagree about, until they agree, or a person has settled it."""
