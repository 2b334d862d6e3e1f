#!/bin/bash
#SBATCH --job-name=step2
#SBATCH --mem=16G --cpu-per-task=4
python step2.py
