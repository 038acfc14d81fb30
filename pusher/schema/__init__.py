"""What the tables of a database are, and what is to be done with each."""
