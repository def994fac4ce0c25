#!/bin/bash
#SBATCH --cpus-per-task=64 --time=04:00:00 --signal=B:USR1@300 --requeue
# A run on one node. SLURM sends a signal five minutes before the time limit; mapsort saves what it has and ends with status
# 75; the job is queued again and continues.
if [ -f run/0_refine_parms.json ]; then
  mapsort multi --resume run &
else
  mapsort multi --input particles.star --models a.mrc,b.mrc --path run &
fi
job=$!
trap 'kill -USR1 $job' USR1
wait $job; status=$?
[ $status -gt 128 ] && { wait $job; status=$?; }   # the trap ended the first wait
[ $status -eq 75 ] && scontrol requeue "$SLURM_JOB_ID"
exit $status
