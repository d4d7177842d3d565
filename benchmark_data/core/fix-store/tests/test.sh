#!/bin/bash
# Run in the workspace; writes /logs/verifier/reward.json.
exec python3 /tests/judge.py
