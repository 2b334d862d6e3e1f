#!/bin/bash
#SBATCH --job-name=step2
#SBATCH --dependency=afterok:1234
python step2.py
