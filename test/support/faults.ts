import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const library = fileURLToPath(new URL('../../build/check/libbranchmerge_faults.so', import.meta.url))

/** Quick after `npm run check`, which has built it. */
export function buildFaults(): void {
  execFileSync('test/build.sh', ['branchmerge_faults'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Environment of a process in which system calls fail, by the variables of test/native/faults.cc. */
export const faults = (variables: Record<`FAULT_${string}`, string>): Record<string, string> => ({
  LD_PRELOAD: library,
  ...variables,
})
