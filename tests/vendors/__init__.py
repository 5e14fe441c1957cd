"""Small specs in the styles of real vendors, each served as it is: no mock, no annotation."""
