#!/bin/sh
#SBATCH -J sweep -A nlp -p batch -q normal
#SBATCH -N2 -n 8 -c 4
#SBATCH -G h100:8
#SBATCH --mem-per-gpu 80G
#SBATCH -t 90 -a 1,3,5-9:2
#SBATCH -o out.%A_%a -D /scratch/nlp
srun python sweep.py "$SLURM_ARRAY_TASK_ID"
