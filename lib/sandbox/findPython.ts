import { execFile } from 'node:child_process'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { BranchMergeError } from '../errors.js'

/** An interpreter, and what a sandbox has to show it of the file system. */
export interface Python {
  executable: string
  version: string
  /** Absolute paths of files and directories: its standard library, its packages, libraries that it has loaded. */
  readable: readonly string[]
}

const leastVersion = [3, 8] as const

// Paths outside its own prefixes, which a .pth file may add, are left out: they are the user's.
const question = `
import json, os, sys, sysconfig
try:
    import ctypes
    lacks = None
except ImportError as error:
    lacks = 'ctypes'
prefixes = [os.path.join(path, '') for path in {sys.prefix, sys.exec_prefix, sys.base_prefix} if path != '/']
names = ('stdlib', 'platstdlib', 'purelib', 'platlib')
paths = [sysconfig.get_paths()[name] for name in names]
paths += [path for path in sys.path if path.startswith(tuple(prefixes))]
paths += [prefix + 'lib' for prefix in prefixes] + [prefix + 'pyvenv.cfg' for prefix in prefixes]
paths += [sys.executable, os.path.realpath(sys.executable)]
with open('/proc/self/maps') as maps:
    paths += [line.split(None, 5)[5].rstrip() for line in maps if '.so' in line and '/' in line]
readable = sorted({path for path in paths if os.path.isabs(path) and os.path.exists(path)})
print(json.dumps({'executable': sys.executable, 'version': list(sys.version_info[:3]), 'lacks': lacks, 'readable': readable}))
`

/** Interpreters to try, best first: those on PATH, and where systems have them. */
export const pythonCandidates = (): string[] => {
  const directories = [...(process.env.PATH ?? '').split(delimiter).filter(isAbsolute), '/usr/local/bin', '/usr/bin']
  return [...new Set(directories.map((directory) => join(directory, 'python3')))]
}

/**
 * Asks an interpreter what it is.
 *
 * @param path - relative ones are the working directory's
 * @returns a sentence where it cannot be used
 */
export async function describePython(path: string): Promise<Python | string> {
  const file = resolve(path)
  try {
    const { stdout } = await promisify(execFile)(file, ['-I', '-c', question], { timeout: 60_000 })
    const { executable, version, lacks, readable } = JSON.parse(stdout) as {
      executable: string
      version: [number, number, number]
      lacks: string | null
      readable: string[]
    }
    const [major, minor] = version
    if (major !== leastVersion[0] || minor < leastVersion[1]) {
      return `${file} is Python ${version.join('.')}, and at least ${leastVersion.join('.')} is needed`
    }
    if (lacks !== null) return `${file} has no module ${lacks}`
    return { executable, version: version.join('.'), readable }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return `there is no ${file}`
    return code === 'EACCES'
      ? `${file} may not be executed`
      : `${file} failed: ${message.split('\n').at(-2) ?? message}`
  }
}

/** @param problems - what was wrong with each interpreter that was tried */
export const noPython = (problems: readonly string[]): BranchMergeError =>
  new BranchMergeError(
    'ERR_SANDBOX',
    [
      'Expected a python3 that the sandbox can run, for the programs that models write, but found none:',
      ...problems.map((problem) => `  ${problem}`),
      'Install one (Debian: python3), or name one with the option python.',
    ].join('\n'),
  )
