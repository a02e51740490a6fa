import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const nodes = ['n1', 'n2']
const commands = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'scontrol', 'squeue', 'scancel']

/** Debian keeps daemons where a user's PATH may not look. */
const searchPath = `${process.env.PATH}:/usr/sbin:/sbin`

/**
 * A real Slurm of two nodes on this machine: a munged, a slurmctld and two slurmd of its own, in a scratch directory and on
 * free ports, as the user who runs the test. Whatever ends the test process ends the daemons.
 */
export class SlurmCluster {
  private readonly daemons: ChildProcess[] = []

  private constructor(
    private readonly directory: string,
    /** What commands need to find this cluster. */
    readonly env: { SLURM_CONF: string; PATH: string },
  ) {}

  static async start(): Promise<SlurmCluster> {
    requireCommands()
    const directory = mkdtempSync(join(tmpdir(), 'branchmerge-slurm-'))
    const cluster = new SlurmCluster(directory, { SLURM_CONF: join(directory, 'slurm.conf'), PATH: searchPath })
    try {
      await cluster.startDaemons()
      return cluster
    } catch (error) {
      const logs = ['munged', 'slurmctld', ...nodes].map((name) => cluster.logOf(name))
      await cluster.stop()
      throw new Error(`Slurm did not start: ${(error as Error).message}\n${logs.join('\n')}`, { cause: error })
    }
  }

  private async startDaemons(): Promise<void> {
    chmodSync(this.directory, 0o755) // munge serves every user, so its socket must be within reach
    mkdirSync(join(this.directory, 'state'))
    for (const name of nodes) mkdirSync(join(this.directory, 'spool', name), { recursive: true })
    const socket = this.startMunge()
    await until('munged listens', 600, () => existsSync(socket))
    writeFileSync(this.env.SLURM_CONF, configuration(this.directory, socket, await freePorts(nodes.length + 1)))
    await this.writeCgroupConfiguration()
    this.startDaemon('slurmctld', ['slurmctld', '-D', '-i'])
    for (const name of nodes) this.startDaemon(name, ['slurmd', '-D', '-N', name])
    await until('both nodes are idle', 600, async () => (await this.idleNodes()) === nodes.length)
  }

  private startMunge(): string {
    const path = (name: string) => join(this.directory, name)
    writeFileSync(path('munge.key'), randomBytes(128), { mode: 0o400 })
    const places = ['key', 'pid', 'log', 'seed'].map((name) => `--${name}-file=${path(`munge.${name}`)}`)
    this.startDaemon('munged', ['munged', '--foreground', `--socket=${path('munge.socket')}`, ...places])
    return path('munge.socket')
  }

  /** From Slurm 23.11 on slurmd wants the kernel's cgroups, which a container or a chroot may lack, unless it is told. */
  private async writeCgroupConfiguration(): Promise<void> {
    const [, major, minor] = /(\d+)\.(\d+)/.exec(await this.run('slurmd', ['-V'])) ?? []
    if (Number(major) * 100 + Number(minor) < 2311) return
    writeFileSync(join(this.directory, 'cgroup.conf'), 'CgroupPlugin=disabled\n')
  }

  /** The shell in between ends the daemon when its input closes: when the test says so, or is no more. */
  private startDaemon(name: string, command: string[]): void {
    const script = '"$@" > "$LOG" 2>&1 < /dev/null & pid=$!; read -r _; kill $pid; wait $pid'
    const env = { ...process.env, ...this.env, LOG: join(this.directory, `${name}.out`) }
    this.daemons.push(spawn('/bin/sh', ['-c', script, 'sh', ...command], { env, stdio: ['pipe', 'ignore', 'inherit'] }))
  }

  private async idleNodes(): Promise<number> {
    const states = await this.run('sinfo', ['--noheader', '--Node', '--format=%T']).catch(() => '')
    return states.split('\n').filter((state) => state === 'idle').length
  }

  private logOf(name: string): string {
    const path = join(this.directory, `${name}.out`)
    return `${name}: ${existsSync(path) ? readFileSync(path, 'utf8').slice(-2000) : 'no output'}`
  }

  /** Standard output of one of Slurm's commands. */
  async run(command: string, args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(command, args, { env: { ...process.env, ...this.env } })
    return stdout
  }

  /** State of a job or of one task, `12_3`: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, ... */
  async stateOf(job: string): Promise<string> {
    const text = await this.run('scontrol', ['show', 'job', job])
    return /JobState=(\w+)/.exec(text)?.[1] ?? 'UNKNOWN'
  }

  /** Waits until a job is over, and returns its last state. */
  async endOf(job: string): Promise<string> {
    let state = ''
    await until(`job ${job} ends`, 600, async () => {
      state = await this.stateOf(job)
      return !['PENDING', 'RUNNING', 'COMPLETING', 'SUSPENDED', 'CONFIGURING', 'REQUEUED'].includes(state)
    })
    return state
  }

  async stop(): Promise<void> {
    await this.run('scancel', ['--user', userInfo().username]).catch(() => {})
    // Steps outlive their slurmd, so they must be gone before it is.
    const queue = () => this.run('squeue', ['--noheader', '--states=RUNNING,COMPLETING']).catch(() => '')
    await until('the queue is empty', 120, async () => (await queue()) === '').catch(() => {})
    await Promise.all(this.daemons.reverse().map(endDaemon))
    rmSync(this.directory, { recursive: true, force: true })
  }
}

async function endDaemon(shell: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => shell.once('exit', resolve))
  shell.stdin?.end()
  if (shell.exitCode === null && shell.signalCode === null) await exited
}

function requireCommands(): void {
  const isThere = (name: string) => searchPath.split(':').some((directory) => existsSync(join(directory, name)))
  const missing = commands.filter((name) => !isThere(name))
  if (missing.length > 0) {
    throw new Error(
      `Expected the commands ${missing.join(', ')}. Run test/setup.sh, or install Debian's slurmctld, slurmd, ` +
        'slurm-client and munge: this test runs a real Slurm.',
    )
  }
}

/** Waits for a condition, at most `seconds`. */
export async function until(what: string, seconds: number, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Expected that ${what} within ${seconds} s`)
    await delay(100)
  }
}

/** Ports that nobody listens on now. All are held until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0)
      await new Promise((resolve) => server.once('listening', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

function configuration(directory: string, mungeSocket: string, [controllerPort, ...ports]: number[]): string {
  const user = userInfo().username
  const host = hostname().split('.')[0]
  const node = (name: string, i: number) =>
    `NodeName=${name} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[i]} CPUs=2 RealMemory=1000`
  return `${[
    'ClusterName=branchmerge',
    `SlurmctldHost=${host}(127.0.0.1)`,
    `SlurmctldPort=${controllerPort}`,
    `SlurmUser=${user}`,
    `SlurmdUser=${user}`,
    'AuthType=auth/munge',
    // A requeued job waits for the end of the old one's credential: 120 s by default.
    `AuthInfo=socket=${mungeSocket},cred_expire=5`,
    `StateSaveLocation=${directory}/state`,
    `SlurmdSpoolDir=${directory}/spool/%n`,
    `SlurmctldPidFile=${directory}/slurmctld.pid`,
    `SlurmdPidFile=${directory}/slurmd.%n.pid`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'SelectType=select/cons_tres',
    'ReturnToService=2',
    'MpiDefault=none',
    'SchedulerParameters=sched_interval=1',
    'KillWait=2',
    ...nodes.map(node),
    `PartitionName=main Nodes=${nodes.join(',')} Default=YES State=UP OverSubscribe=FORCE:4`,
  ].join('\n')}\n`
}
