import { readFileSync } from 'node:fs'
import { newToken } from '../../lib/files/owners.js'

/** The token of another process than this one, of this host unless a place is given. */
export function tokenOf({ pid, started, place }: { pid?: number; started?: number; place?: string }): string {
  const [ownPid, ownStart, host, ownPlace, random] = newToken().split('-')
  return [pid ?? ownPid, started ?? ownStart, host, place ?? ownPlace, random].join('-')
}

/** When a process started, in clock ticks after the start of the host. */
export function startOf(pid: number): number {
  return Number(
    readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19],
  )
}
