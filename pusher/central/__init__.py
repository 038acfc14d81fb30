"""The receiving end: takes in what the sites push."""
