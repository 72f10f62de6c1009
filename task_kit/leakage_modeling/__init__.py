"""The task leakage_modeling: modelling with tables in which some columns are known too late."""
