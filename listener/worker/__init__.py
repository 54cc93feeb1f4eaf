"""A warm child interpreter that runs other people's functions: pool.py is our side, child.py its."""
