import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/** Where the user's own cache of this program lies: `branchmerge` in $XDG_CACHE_HOME, or in ~/.cache. It need not exist. */
export function userCache(): string {
  const base = process.env['XDG_CACHE_HOME']
  // The specification says to ignore relative ones.
  return join(base && isAbsolute(base) ? base : join(homedir(), '.cache'), 'branchmerge')
}
