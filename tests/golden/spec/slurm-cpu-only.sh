#!/bin/bash
#SBATCH --ntasks=16
#SBATCH --mem-per-cpu=2000
#SBATCH --time=4:00:00
#SBATCH --nice
#SBATCH --export=NONE,OMP_NUM_THREADS=16,MODE=fast
#SBATCH --comment="weekly report, do not delete"
#SBATCH --chdir '/data/my project'
./simulate
