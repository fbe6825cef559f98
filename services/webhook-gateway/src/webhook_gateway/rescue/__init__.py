"""Website orders that were refused: people mend, resubmit, report and close them."""
