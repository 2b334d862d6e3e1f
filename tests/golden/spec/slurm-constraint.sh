#!/bin/bash
#SBATCH --gpus-per-node=2
#SBATCH --constraint="v100|a100"
#SBATCH --cpus-per-gpu=6
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --deadline=now+12hours
python fit.py
