"""Evaluation: suites of questions, policies that answer them, and what each of them costs.

`suites` reads what is asked, `policies` names who answers, `runner` asks and keeps every episode
in a run folder, `summary` counts them. `estimate` tells before any training what requests could
save.
"""
