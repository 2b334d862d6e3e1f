#!/usr/bin/env python3
#SBATCH --ntasks=4 --nodes=2
#SBATCH --gpus-per-task=1 --cpus-per-task=6
#SBATCH --nodes=2-4 --time=2-0
#SBATCH --open-mode=append
import os
print(os.environ["SLURM_NODEID"])
