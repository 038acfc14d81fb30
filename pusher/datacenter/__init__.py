"""The import job: clerks' CSV files change a database row by row, and what is refused comes back with its reason."""
