"""The methods, one a file: what each reads, what it minimises, and how it goes on."""
