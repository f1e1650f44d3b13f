"""The two stages and the pipeline that chains them."""
