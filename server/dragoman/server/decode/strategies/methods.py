"""The table of methods: what a request may ask for besides beam search, by the field of its decoding options."""

from dragoman.server.core.strategies import Method
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.labels import Labels
from dragoman.server.decode.strategies.minimum_bayes_risk import MinimumBayesRisk
from dragoman.server.decode.strategies.sampling import Sampling

_IN_ORDER: tuple[type[Method], ...] = (Sampling, Diversity, Alternatives, MinimumBayesRisk, Labels)
"""In which a clash of two is reported."""
METHODS = {method.field: method for method in _IN_ORDER}
