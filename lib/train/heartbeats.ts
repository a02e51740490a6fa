import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { changes, isHere, isRunning, placeName } from '../files/owners.js'
import { namesIn } from './namesIn.js'

/** A process that shows no life. */
export interface Silence {
  rank: number
  host: string | undefined
  /** The last step that it told of. */
  step: number | undefined
  seconds: number
}

interface Pulse {
  text: string
  since: number
}

/** What a heartbeat file may say beside that it changes. */
interface Heartbeat {
  host?: unknown
  boot?: unknown
  pidNamespace?: unknown
  pid?: unknown
  started?: unknown
  phase?: unknown
  step?: unknown
}

const heartbeatPath = (directory: string, rank: number): string => join(directory, `heartbeat-${rank}.json`)

/**
 * Watches the heartbeat files of all processes. A process is silent when its file has not changed for the time allowed,
 * measured by this process's clock: clocks of other hosts do not matter.
 */
export class HeartbeatWatch {
  private readonly pulses = new Map<number, Pulse>()
  private readonly timer: NodeJS.Timeout

  constructor(
    private readonly directory: string,
    private readonly processes: number,
    private readonly timeout: number,
    private readonly onSilence: (silence: Silence) => void,
  ) {
    const interval = Math.min(5, timeout / 4) * 1000
    this.timer = setInterval(() => void this.look(), interval)
    this.timer.unref()
  }

  private async look(): Promise<void> {
    const ranks = Array.from({ length: this.processes }, (_, rank) => rank)
    const texts = await Promise.all(
      ranks.map((rank) => readFile(heartbeatPath(this.directory, rank), 'utf8').catch(() => '')),
    )
    const now = performance.now()
    for (const [rank, text] of texts.entries()) {
      const pulse = this.pulses.get(rank)
      if (pulse?.text !== text) this.pulses.set(rank, { text, since: now })
    }
    const atWork = [...this.pulses].filter(([, { text }]) => parse(text).phase !== 'ended')
    const silent = atWork.map(([rank, { since }]) => ({ rank, seconds: (now - since) / 1000 }))
    const longest = silent.reduce((a, b) => (b.seconds > a.seconds ? b : a), { rank: -1, seconds: 0 })
    if (longest.seconds < this.timeout) return
    this.end()
    this.onSilence({ ...longest, ...said(this.pulses.get(longest.rank)?.text ?? '') })
  }

  end(): void {
    clearInterval(this.timer)
  }
}

/** Host and step of a heartbeat. */
function said(text: string): Pick<Silence, 'host' | 'step'> {
  const heartbeat = parse(text)
  return {
    host: typeof heartbeat.host === 'string' ? heartbeat.host : undefined,
    step: typeof heartbeat.step === 'number' ? heartbeat.step : undefined,
  }
}

function parse(text: string): Heartbeat {
  try {
    return (JSON.parse(text) as Heartbeat | null) ?? {}
  } catch {
    return {}
  }
}

/** The host that a process last said it runs on. */
export async function hostOf(directory: string, rank: number): Promise<string | undefined> {
  return said(await readFile(heartbeatPath(directory, rank), 'utf8').catch(() => '')).host
}

/** The processes that have not said that they ended as they should. */
export async function unfinishedRanks(directory: string, processes: number): Promise<number[]> {
  const ranks = Array.from({ length: processes }, (_, rank) => rank)
  const ended = await Promise.all(
    ranks.map(async (rank) => {
      const text = await readFile(heartbeatPath(directory, rank), 'utf8').catch(() => '')
      return parse(text).phase === 'ended'
    }),
  )
  return ranks.filter((rank) => !ended[rank])
}

/** Forgets an earlier run's heartbeats. */
export async function clearHeartbeats(directory: string): Promise<void> {
  for (const name of await heartbeatNames(directory)) await rm(join(directory, name), { force: true })
}

/** A trainer writes its heartbeat every 3 s. */
const watchSeconds = 15

/**
 * @throws ERR_OUTPUT_EXISTS when a trainer of an earlier launcher is still at work, on this host or another: two would write the
 *   same files. A process number tells of this host and container alone, and together with the time of the start, for numbers
 *   are given again; a process of another one is at work when its heartbeat changes.
 */
export async function refuseRunning(directory: string): Promise<void> {
  const names = await heartbeatNames(directory)
  const found = await Promise.all(names.map((name) => trainerAtWork(join(directory, name))))
  const trainer = found.find((each) => each !== undefined)
  if (!trainer) return
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Process ${trainer.pid} is still training into ${dirname(directory)}, on ${trainer.host}. ` +
      `Wait for it, or end it: kill -USR1 ${trainer.pid} there lets it save.`,
  )
}

async function trainerAtWork(path: string): Promise<{ pid: number; host: string } | undefined> {
  const { host, boot, pidNamespace, pid, started, phase } = parse(await readFile(path, 'utf8').catch(() => ''))
  if (typeof host !== 'string' || typeof pid !== 'number' || phase === 'ended') return undefined
  const place = placeName({ host, boot: String(boot), pidNamespace: String(pidNamespace) })
  const works =
    isHere({ place }) && typeof started === 'number' ? await isRunning(pid, started) : await changes(path, watchSeconds)
  return works ? { pid, host } : undefined
}

async function heartbeatNames(directory: string): Promise<string[]> {
  const names = await namesIn(directory)
  return names.filter((name) => /^heartbeat-\d+\.json$/.test(name))
}
