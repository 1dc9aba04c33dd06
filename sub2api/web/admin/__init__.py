"""The JSON API of operators, one file per noun."""
