import { execFile } from 'node:child_process'
import { userInfo } from 'node:os'
import { promisify } from 'node:util'
import { BranchMergeError } from '../errors.js'
import { invalidArgument } from '../validate.js'
import type { ResolvedLauncher } from './resolveRun.js'

/** What starts the processes: nothing between us and the one, mpirun, or srun inside an allocation of Slurm. */
export type Starter = 'process' | 'mpirun' | 'srun'

export interface Launch {
  starter: Starter
  processes: number
  command: readonly [file: string, ...args: string[]]
  /** Variables beside those of this process. */
  env: Readonly<Record<string, string>>
}

/**
 * The command line that starts the trainer's processes.
 *
 * @param runFile - absolute, as every process will find it
 * @throws ERR_MPI_MISSING when several processes are asked for and there is no mpirun; ERR_INVALID_ARGUMENT when hosts have
 *   no room for them
 */
export async function launchCommand(
  trainer: string,
  runFile: string,
  launcher: ResolvedLauncher,
  inAllocation: boolean,
): Promise<Launch> {
  const { processes, hosts, slurm } = launcher
  const trainerCommand = [trainer, runFile] as const
  if (inAllocation) {
    const mpi = processes > 1 ? [`--mpi=${slurm.mpi}`] : []
    const cpus = slurm.cpusPerTask === undefined ? [] : [`--cpus-per-task=${slurm.cpusPerTask}`]
    const options = [`--ntasks=${processes}`, ...cpus, ...mpi, '--kill-on-bad-exit=1', '--unbuffered']
    return { starter: 'srun', processes, command: ['srun', ...options, ...trainerCommand], env: {} }
  }
  if (processes === 1 && hosts === undefined) {
    return { starter: 'process', processes, command: [...trainerCommand], env: {} }
  }
  const slots = placement(processes, hosts)
  const { options, env } = mpiOptions(await mpirunVersion(), processes, slots)
  return { starter: 'mpirun', processes, command: ['mpirun', ...options, ...trainerCommand], env }
}

/** How many processes each host takes. Hosts that say no number share what the others leave. */
function placement(processes: number, hosts: readonly string[] | undefined): [host: string, count: number][] {
  if (hosts === undefined) return [['localhost', processes]]
  const parsed = hosts.map((text) => {
    const [host, count] = text.split(':') as [string, string?]
    return { host, count: count === undefined ? undefined : Number(count) }
  })
  const open = parsed.filter(({ count }) => count === undefined).length
  const left = processes - parsed.reduce((total, { count }) => total + (count ?? 0), 0)
  const fits = open > 0 ? left >= open : left <= 0
  if (!fits) throw invalidArgument(`hosts for ${processes} processes`, 'launcher.hosts', hosts)
  let [openLeft, processesLeft] = [open, left]
  return parsed.map(({ host, count }) => {
    if (count !== undefined) return [host, count]
    const share = Math.ceil(processesLeft / openLeft--)
    processesLeft -= share
    return [host, share]
  })
}

/** Most processes on one host. */
export const processesPerHost = (launcher: ResolvedLauncher): number =>
  Math.max(...placement(launcher.processes, launcher.hosts).map(([, count]) => count))

async function mpirunVersion(): Promise<string> {
  try {
    return (await promisify(execFile)('mpirun', ['--version'])).stdout
  } catch (cause) {
    throw new BranchMergeError(
      'ERR_MPI_MISSING',
      'Expected the command mpirun, which starts several processes, but there is none. Install an MPI ' +
        "(Debian: openmpi-bin), the one that the trainer was built with, load your cluster's module of it, or use one process.",
      { cause },
    )
  }
}

function mpiOptions(version: string, processes: number, slots: [host: string, count: number][]) {
  const count = ['-n', String(processes)]
  const hosts = slots.map(([host, slot]) => `${host}:${slot}`).join(',')
  if (version.includes('Open MPI')) {
    // By default a process is bound to one core, and so were all its threads.
    const asRoot = { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' }
    return {
      options: [...count, '--host', hosts, '--bind-to', 'none'],
      // It takes root for a mistake, which in a container it is not.
      env: userInfo().uid === 0 ? asRoot : {},
    }
  }
  if (/HYDRA|MPICH|Intel/i.test(version)) return { options: [...count, '-hosts', hosts], env: {} }
  throw new BranchMergeError(
    'ERR_MPI_MISSING',
    `Expected the mpirun of Open MPI or MPICH but found ${version.split('\n', 1)[0] || 'one of an unknown kind'}`,
  )
}
