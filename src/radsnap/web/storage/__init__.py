"""Where cases are kept: rows in a database, pictures under their content's hash."""
