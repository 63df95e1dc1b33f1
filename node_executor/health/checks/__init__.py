"""The health checks that every node has (requirement H2), one per file; third parties could write each of them."""
