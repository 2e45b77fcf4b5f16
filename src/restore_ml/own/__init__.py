"""What a person brings to a project that is built already: a function of her own, pictures of her own.

Nothing here is tracked, and nothing of the pipeline imports it: it reads samples, models and scores, and never trains.
"""
