"""Getting the weights an expert names onto this machine."""
