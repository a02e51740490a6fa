import { invalidArgument } from '../validate.js'

/** A merge split into the tasks of a job array. */
export interface SlurmMerge {
  /** What runs branchmerge, the same on every node: Node, its flags and the package's script. */
  command: readonly string[]
  /** Arguments of `branchmerge merge`, without those about Slurm. */
  arguments: readonly string[]
  /** Directory that relative paths in the arguments start from. */
  workingDirectory: string
  /** Directory that the merge writes, absolute. */
  out: string
  /** Directory of scripts and logs, absolute. */
  stagingDirectory: string
  parts: number
  resources: SlurmResources
}

/** What each task asks of Slurm. Absent: what the cluster gives. */
export interface SlurmResources {
  partition: string | undefined
  /** As sbatch takes it: minutes, `hours:minutes:seconds`, `days-hours`, ... */
  time: string | undefined
  cpus: number | undefined
  /** As sbatch takes it: megabytes, or with K, M, G or T. */
  memory: string | undefined
  /** Further arguments of sbatch, as they are. */
  sbatchArguments: readonly string[]
}

/** A script and the arguments of the sbatch that submits it. */
export interface SlurmJob {
  name: string
  text: string
  sbatch: readonly string[]
}

/**
 * The job array that merges, and the job that makes its results a checkpoint when all of them are there.
 *
 * @throws ERR_INVALID_ARGUMENT for a directory that Slurm cannot log into.
 */
export function slurmJobs(merge: SlurmMerge): { part: SlurmJob; finish: (afterJob: string) => SlurmJob } {
  checkLogDirectory(merge.out)
  const part = {
    name: 'part.sh',
    text: script(
      `One part of a merge: a task of a Slurm job array of ${merge.parts}.`,
      merge.workingDirectory,
      `${quoted([...merge.command, 'merge', ...merge.arguments])} --shard "$SLURM_ARRAY_TASK_ID/${merge.parts}"`,
    ),
  }
  const finish = {
    name: 'finish.sh',
    text: script(
      'Makes the parts of a merge a checkpoint, once all of them are there.',
      merge.workingDirectory,
      quoted([...merge.command, 'finish', merge.out]),
    ),
  }
  return {
    part: { ...part, sbatch: sbatchArguments(merge, part.name, 'part-%a.log', [`--array=1-${merge.parts}`]) },
    finish: (afterJob) => ({
      ...finish,
      // Without the second option a job whose condition can no longer hold waits in the queue for ever.
      sbatch: sbatchArguments(merge, finish.name, 'finish.log', [
        `--dependency=afterok:${afterJob}`,
        '--kill-on-invalid-dep=yes',
      ]),
    }),
  }
}

/** Commands and scripts as a person reads them. */
export function slurmText(merge: SlurmMerge): string {
  const { part, finish } = slurmJobs(merge)
  const command = ({ sbatch }: SlurmJob) => quoted(['sbatch', ...sbatch])
  const jobs = [part, finish('JOB')]
  return [...jobs.map(command), ...jobs.map(({ name, text }) => `\n# ${name}\n${text.trimEnd()}`)].join('\n')
}

function sbatchArguments(merge: SlurmMerge, scriptName: string, log: string, kind: readonly string[]): string[] {
  const { partition, time, cpus, memory, sbatchArguments } = merge.resources
  return [
    '--parsable',
    '--requeue',
    '--job-name=branchmerge',
    `--chdir=${merge.stagingDirectory}`,
    `--output=${merge.stagingDirectory.replaceAll('%', '%%')}/logs/${log}`,
    // A requeued task goes on in the log of the killed one.
    '--open-mode=append',
    ...given('partition', partition),
    ...given('time', time),
    ...given('cpus-per-task', cpus),
    ...given('mem', memory),
    ...sbatchArguments,
    ...kind,
    `${merge.stagingDirectory}/${scriptName}`,
  ]
}

/** An option that was given, as one argument. */
export const given = (option: string, value: string | number | undefined): string[] =>
  value === undefined ? [] : [`--${option}=${value}`]

/** A backslash changes how sbatch reads the whole name of a log; a line end or NUL it does not take at all. */
export function checkLogDirectory(out: string): void {
  if (/[\\\n\0]/.test(out)) throw invalidArgument('a path without a backslash or line end', 'out', out)
}

function script(comment: string, directory: string, command: string): string {
  return `#!/bin/sh\n# ${comment}\nset -eu\ncd ${quoted([directory])}\nexec ${command}\n`
}

/** Words of a POSIX shell command that stand for exactly these texts. */
export function quoted(words: readonly string[]): string {
  return words.map((word) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}
