import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SandboxLevel } from '../../lib/sandbox/program.js'

const path = (name: string) => fileURLToPath(new URL(`../../build/${name}`, import.meta.url))

/** The sandbox that the build made, and what takes features of the kernel away (test/native/sandbox/without.cc). */
export const sandboxPath = path('Release/branchmerge-sandbox')
const without = path('check/branchmerge_without')

export interface Environment {
  name: string
  level: SandboxLevel
  /** What starts the sandbox, in front of it. */
  command: readonly string[]
}

const asUser = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
const isRoot = process.getuid?.() === 0

/** Where a sandbox has to hold: as root and as an ordinary user, with namespaces and where a container forbids them. */
export const environments: readonly Environment[] = [
  { name: isRoot ? 'root' : 'an ordinary user', level: 3, command: [] },
  { name: 'no namespaces', level: 2, command: [without, 'namespaces', '--'] },
  { name: 'no Landlock', level: 2, command: [without, 'landlock', '--'] },
  ...(isRoot
    ? ([
        { name: 'an ordinary user', level: 3, command: asUser },
        { name: 'an ordinary user without namespaces', level: 2, command: [...asUser, without, 'namespaces', '--'] },
      ] as const)
    : []),
]

/** A program that starts the sandbox with `command` in front of it, for BRANCHMERGE_SANDBOX. */
export function sandboxIn(command: readonly string[]): string {
  if (command.length === 0) return sandboxPath
  const file = join(mkdtempSync(join(tmpdir(), 'branchmerge-test-')), 'sandbox')
  writeFileSync(file, `#!/bin/sh\nexec ${[...command, sandboxPath].map((word) => `'${word}'`).join(' ')} "$@"\n`)
  chmodSync(file, 0o755)
  return file
}

/** A command that takes features away: `namespaces`, `mounts`, `landlock`, `seccomp`. */
export const withoutFeatures = (...features: string[]): string[] => [without, ...features, '--']
