"""Evaluation: suites of questions, policies that answer them, and what each of them costs.

`suites` reads the questions, `policies` names who answers, `runner` asks and keeps every episode in
a run folder, `summary` counts them. `savings` says before any training what requests could save;
`workload` predicts costs from sizes alone.
"""
