#!/bin/bash
#SBATCH --container-image=nvcr.io\#nvidia/pytorch:24.05-py3
#SBATCH --container-workdir=/workspace
#SBATCH --gpus=1
#SBATCH --gres=lscratch:100
#SBATCH --tmp=50G
python main.py
