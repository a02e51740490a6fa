import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { BranchMergeError } from './errors.js'

/**
 * A path as it stands in a file that lies in `directory`, where it starts. `~` is the home directory, as a shell has it: nobody means a
 * directory of that name, and who removes one by it removes the home directory.
 *
 * @throws ERR_INVALID_ARGUMENT for the home directory of another user, which is not looked up
 */
export function pathFromFile(path: string, directory: string): string {
  if (isHome(path)) return join(homedir(), path.slice(1))
  if (/^~[^/]+\//.test(path)) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      `Expected ~/ for your home directory, or a path without ~, but received ${path}: write it out, or ./${path} for such a name`,
    )
  }
  const whole = isAbsolute(path) ? path : join(directory, path)
  return isHome(whole) ? `./${whole}` : whole // of ./~/x, which says that it means the name
}

/** What a shell takes for the home directory or a place in it. */
export const isHome = (path: string): boolean => path === '~' || path.startsWith('~/')
