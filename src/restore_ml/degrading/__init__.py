"""From prepared pictures to samples: training material, test cases, and the contracts that both must keep.

Below samples/<task>: `train/` (records, `roles/`, `pools/`), `inputs/<set>/<degradation>.arrow` and
`targets/<set>/<degradation>.arrow` (the same ids in the same order), `contract.parquet` and `left_out.parquet`.
"""
