"""SQL views with the names of tables and columns that other tools write, over the tables of a lake."""
