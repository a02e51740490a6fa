import { checkLogDirectory, given, quoted, type SlurmJob } from '../cluster/slurmScripts.js'
import type { ResolvedSlurm } from './resolveRun.js'

/** A training as one job that is requeued until it is done. */
export interface SlurmTraining {
  /** What runs branchmerge, the same on every node: Node, its flags and the package's script. */
  command: readonly string[]
  /** The run with everything worked in; absolute. */
  runFile: string
  workingDirectory: string
  /** `training/` of the output, absolute. */
  directory: string
  processes: number
  resources: ResolvedSlurm
}

export const trainingLogName = 'slurm.log'

/**
 * The job that trains. Before its time is over Slurm signals the shell, the trainer saves and ends with exit code 85, and the
 * job is put back into the queue.
 *
 * @throws ERR_INVALID_ARGUMENT for a directory that Slurm cannot log into
 */
export function trainingJob(training: SlurmTraining): SlurmJob {
  const { directory, processes, resources } = training
  checkLogDirectory(directory)
  const { partition, time, nodes, cpusPerTask, memory, signalSeconds, sbatchArguments } = resources
  const name = 'job.sh'
  return {
    name,
    text: script(training),
    sbatch: [
      '--parsable',
      '--requeue',
      '--job-name=branchmerge-sft',
      `--chdir=${directory}`,
      `--output=${directory.replaceAll('%', '%%')}/${trainingLogName}`,
      // The requeued job goes on in the log.
      '--open-mode=append',
      `--signal=B:USR1@${signalSeconds}`,
      `--ntasks=${processes}`,
      ...given('partition', partition),
      ...given('time', time),
      ...given('nodes', nodes),
      ...given('cpus-per-task', cpusPerTask),
      ...given('mem', memory),
      ...sbatchArguments,
      `${directory}/${name}`,
    ],
  }
}

function script({ command, runFile, workingDirectory }: SlurmTraining): string {
  return `#!/bin/sh
# Trains an expert. Told to stop early (USR1), it saves, and the job goes back into the queue.
set -u
cd ${quoted([workingDirectory])}
child= signalled= cancelled=
# Said again, should it have come before the launcher listened.
stop_later() {
  signalled=1
  kill "-$1" "$child"
  (sleep 10; kill "-$1" "$child") &
} 2> /dev/null
trap 'stop_later USR1' USR1
trap 'cancelled=1; stop_later TERM' TERM
trap 'signalled=1; kill -INT "$child" 2> /dev/null' INT
${quoted([...command, 'sft', runFile])} --srun --resume &
child=$!
# A signal ends wait before the trainer has ended.
while
  signalled=
  wait "$child"
  code=$?
  [ -n "$signalled" ]
do :; done
if [ "$code" -eq 85 ] && [ -z "$cancelled" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
`
}
