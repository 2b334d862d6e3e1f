#!/bin/bash -l
#SBATCH --job-name=resnet50        # what squeue shows
#SBATCH --account=vision
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:a100:4
#SBATCH --mem=240G
#SBATCH --time=1-12:00:00
#SBATCH --output=logs/%x-%j.out
#SBATCH --error=logs/%x-%j.err
#SBATCH --mail-type=END,FAIL
#SBATCH --mail-user=ada@example.org
#SBATCH --signal=B:USR1@300
#SBATCH --requeue

module load cuda/12.4
source ~/venv/bin/activate

#SBATCH --time=00:01:00
python -m torch.distributed.run --nproc_per_node=4 train.py --resume
