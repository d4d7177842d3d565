#!/bin/bash
cp -R "$(dirname "$0")/files/." .
