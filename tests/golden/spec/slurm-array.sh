#!/bin/bash
#SBATCH --array=0-99%10
#SBATCH --gres=gpu:1
#SBATCH --time=00:10:00
python train.py --seed $SLURM_ARRAY_TASK_ID
